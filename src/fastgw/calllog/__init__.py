"""The call log: one row a finished call, columnar, queried by the keeper's admin API."""

from .log import CallLog
from .names import Names, SegmentNames
from .views import Call, CallFilter, LogSettings, LogState, Usage

__all__ = ["Call", "CallFilter", "CallLog", "LogSettings", "LogState", "Names", "SegmentNames", "Usage"]

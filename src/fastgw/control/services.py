"""Decides what the admin API is given by the keeper: the parts that it shows, and the way to ask for a reload."""

from collections.abc import Callable

from msgspec import Struct

from .._segment import Segment
from .ports import Books, CallLog, Gate, Loads, Reloaded, Settings, Upstreams


class Services(Struct, frozen=True):
    """`settings` gives the configuration in force now. `gate` gives the admission that quotes ask.

    `reload` reads the configuration anew and returns when workers serve by it; it raises ConfigError when that is
    refused, and nothing has changed. `loads` gives what workers do with servers at the moment that it is called. All
    are called from several threads.
    """

    state_dir: str
    segment: Segment
    books: Books
    settings: Callable[[], Settings]
    reload: Callable[[], Reloaded]
    gate: Callable[[], Gate]
    upstreams: Upstreams
    loads: Callable[[], Loads]
    call_log: CallLog | None = None

"""Decides how a journal record lies in memory as numpy sees it: `record_t` of kernels/layout.pxd, field by field."""

import numpy as np
from numpy.typing import NDArray

from ..refusals import Refusal

Rows = NDArray[np.void]  # one-dimensional, of dtype RECORD

PATH_BYTES = 96
WORKERS_MAX = 64
HOUR_NS = 3_600_000_000_000
CHARGED = 1  # bits of `flags`
ESTIMATED = 2

# `account`, `key`, `tag` and `route` are indexes + 1, 0 for none; `target` is a server's number in the roster, `model`
# that of a served model in the segment.
RECORD = np.dtype(
    [
        ("number", "<u8"),  # n + 1
        ("time_ns", "<i8"),
        ("request", "<u8", 2),
        ("cost", "<i8"),
        ("bytes_in", "<u8"),
        ("bytes_out", "<u8"),
        ("account", "<u4"),
        ("key", "<u4"),
        ("route", "<u2"),
        ("status", "<u2"),
        ("target", "<u2"),
        ("verdict", "u1"),
        ("method", "u1"),
        ("decided_us", "<u4"),
        ("first_byte_us", "<u4"),
        ("total_us", "<u4"),
        ("port", "<u2"),
        ("path_length", "<u2"),
        ("address", "u1", 16),
        ("flags", "<u4"),
        ("tokens_in", "<u4"),
        ("tokens_out", "<u4"),
        ("worker", "<u4"),  # spare in the journal; in the spool the slot + 1
        ("cost_sum", "<i8"),
        ("path", "u1", PATH_BYTES),
        ("tag", "<u4"),
        ("model", "<u2"),
        ("unused", "<u2"),
        ("tokens_cached", "<u4"),
        ("tokens_reasoning", "<u4"),
        ("rest", "u1", 16),
    ]
)
RECORD_BYTES = RECORD.itemsize

# By kernels/head.pxd's method_t.
METHODS = ["OTHER", "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"]
VERDICTS = [refusal.name.lower() for refusal in Refusal]


def signed(number: int) -> int:
    """A difference of two 64-bit counters that may have wrapped, as a signed 64-bit integer."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)

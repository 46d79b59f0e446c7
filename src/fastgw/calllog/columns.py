"""Decides what the columns of the call log are, and makes them of journal records: whole arrays, never row by row."""

import socket
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .arrow import UTF8, UUID, Batch, Buffer, Coded, Field, Text, text_of
from .names import NameBook
from .records import METHODS, PATH_BYTES, VERDICTS, Rows

BATCH_ROWS = 8192  # 2 MiB of records: held in cache, and no step keeps the interpreter's lock for long

FIELDS = (
    Field("position", "l"),  # of the row in the log: 1, 2, 3 … in the order in which rows came into it
    Field("time", "tsu:UTC"),
    Field("request_id", UUID),
    Field("account", UTF8, coded=True),
    Field("key_id", UTF8, coded=True),
    Field("route", UTF8, coded=True),
    Field("target", UTF8, coded=True),
    Field("method", UTF8, coded=True),
    Field("path", UTF8),
    Field("status", "S"),
    Field("verdict", UTF8, coded=True),
    Field("cost_nanos", "l"),
    Field("tokens_in", "I"),
    Field("tokens_out", "I"),
    Field("bytes_in", "l"),
    Field("bytes_out", "l"),
    Field("decided_us", "I"),
    Field("first_byte_us", "I"),
    Field("total_us", "I"),
    Field("address", UTF8, coded=True),
    Field("flags", "I"),
)

_PLACES = np.arange(PATH_BYTES, dtype=np.uint16)
# What may stand in a line as it is: printable ASCII but for the space and the backslash, which begins an escape.
_PLAIN = np.zeros(256, np.bool_)
_PLAIN[0x21:0x7F] = True
_PLAIN[ord("\\")] = False
_DIGITS = np.frombuffer(b"0123456789ABCDEF", np.uint8)
_ADDRESS_MIX = np.uint64(0x9E3779B97F4A7C15)
_METHODS = text_of([*METHODS, "?"])
_VERDICTS = text_of([*VERDICTS, "?"])


def batches(rows: Rows, positions: NDArray[np.int64], book: NameBook) -> Iterator[Batch]:
    """The columns FIELDS of the records, in pieces of BATCH_ROWS."""
    for start in range(0, len(rows), BATCH_ROWS):
        yield batch(rows[start : start + BATCH_ROWS], positions[start : start + BATCH_ROWS], book)


def batch(rows: Rows, positions: NDArray[np.int64], book: NameBook) -> Batch:
    """The columns FIELDS of the records; `positions` has one int64 for each."""
    return Batch(
        len(rows),
        (
            np.ascontiguousarray(positions),
            rows["time_ns"] // 1000,
            rows["request"].astype(">u8").view(np.uint8),
            book.accounts.column(rows["account"]),
            book.keys.column(rows["key"]),
            book.routes.column(rows["route"]),
            book.targets_of(rows),
            _by_number(rows["method"], _METHODS),
            _paths(rows),
            rows["status"].copy(),
            _by_number(rows["verdict"], _VERDICTS),
            *(rows[name].copy() for name in ("cost", "tokens_in", "tokens_out", "bytes_in", "bytes_out")),
            *(rows[name].copy() for name in ("decided_us", "first_byte_us", "total_us")),
            _addresses(rows),
            rows["flags"].copy(),
        ),
    )


def _by_number(numbers: Buffer, words: Text) -> Coded:
    """Words by their number; the last word is for numbers that this version does not know."""
    return Coded(np.minimum(numbers, len(words.offsets) - 2).astype(np.int32), words)


def _paths(rows: Rows) -> Text:
    """What was kept of each request's target; what is no printable ASCII is written \\xHH."""
    lengths = np.minimum(rows["path_length"], PATH_BYTES)
    longest = int(lengths.max(initial=0))
    data = rows["path"][:, :longest][_PLACES[:longest] < lengths[:, None]]
    offsets = np.zeros(len(rows) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    plain = _PLAIN[data]
    if plain.all():
        return Text(offsets, data)
    width = np.where(plain, 1, 4)
    ends = np.zeros(len(data) + 1, np.int32)
    np.cumsum(width, out=ends[1:])
    escaped = np.empty(ends[-1], np.uint8)
    escaped[ends[:-1]] = np.where(plain, data, ord("\\"))
    at, octets = ends[:-1][~plain], data[~plain]
    escaped[at + 1] = ord("x")
    escaped[at + 2] = _DIGITS[octets >> 4]
    escaped[at + 3] = _DIGITS[octets & 15]
    return Text(ends[offsets], escaped)


def _addresses(rows: Rows) -> Coded:
    """Client addresses as text, each different one written once."""
    words = np.ascontiguousarray(rows["address"]).view("<u8")
    mixed = words[:, 1] ^ (words[:, 0] * _ADDRESS_MIX)
    _, first, codes = np.unique(mixed, return_index=True, return_inverse=True)
    if not np.array_equal(words[first][codes], words):  # two addresses were mixed to one number
        _, first, codes = np.unique(words, axis=0, return_index=True, return_inverse=True)
    return Coded(codes.astype(np.int32), text_of([_address(raw.tobytes()) for raw in words[first]]))


def _address(raw: bytes) -> str:
    if raw[:12] == b"\0" * 10 + b"\xff\xff":
        return socket.inet_ntop(socket.AF_INET, raw[12:])
    return socket.inet_ntop(socket.AF_INET6, raw) if any(raw) else ""

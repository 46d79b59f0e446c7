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
    Field("model", UTF8, coded=True),
    Field("tag", UTF8, coded=True),
    Field("method", UTF8, coded=True),
    Field("path", UTF8),
    Field("status", "S"),
    Field("verdict", UTF8, coded=True),
    Field("cost_nanos", "l"),
    Field("tokens_in", "I"),
    Field("tokens_out", "I"),
    Field("tokens_cached", "I"),
    Field("tokens_reasoning", "I"),
    Field("bytes_in", "l"),
    Field("bytes_out", "l"),
    Field("decided_us", "I"),
    Field("first_byte_us", "I"),
    Field("total_us", "I"),
    Field("address", UTF8),
    Field("flags", "I"),
)

_PLACES = np.arange(PATH_BYTES, dtype=np.uint16)
# What may stand in a line as it is: printable ASCII but for the space and the backslash, which begins an escape.
_PLAIN = np.zeros(256, np.bool_)
_PLAIN[0x21:0x7F] = True
_PLAIN[ord("\\")] = False
_DIGITS = np.frombuffer(b"0123456789ABCDEF", np.uint8)
_MAPPED = 0xFFFF0000  # the third word of an IPv4 address mapped into IPv6
_OCTETS = np.frombuffer(b"".join(f"{octet}.".encode().ljust(4, b"\0") for octet in range(256)), "<u4")
_OCTET_LENGTHS = np.array([len(f"{octet}.") for octet in range(256)], np.uint8)
_METHODS = text_of([*METHODS, "?"])
_VERDICTS = text_of([*VERDICTS, "?"])


def batches(
    rows: Rows, positions: NDArray[np.int64], book: NameBook, *, since_ns: int, until_ns: int
) -> Iterator[Batch]:
    """The columns FIELDS of the records begun from `since_ns` on and before `until_ns`, in pieces of BATCH_ROWS.

    `positions` has one int64 for each record.
    """
    for start in range(0, len(rows), BATCH_ROWS):
        some, places = rows[start : start + BATCH_ROWS], positions[start : start + BATCH_ROWS]
        inside = (some["time_ns"] >= since_ns) & (some["time_ns"] < until_ns)
        if inside.all():
            yield batch(some, places, book)
        elif inside.any():
            yield batch(some[inside], places[inside], book)


def batch(rows: Rows, positions: NDArray[np.int64], book: NameBook) -> Batch:
    """The columns FIELDS of the records, of one at least; `positions` has one int64 for each."""
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
            book.models.column(rows["model"]),
            book.tags.column(rows["tag"]),
            _by_number(rows["method"], _METHODS),
            _paths(rows),
            rows["status"].copy(),
            _by_number(rows["verdict"], _VERDICTS),
            *(rows[name].copy() for name in ("cost", "tokens_in", "tokens_out", "tokens_cached", "tokens_reasoning")),
            *(rows[name].copy() for name in ("bytes_in", "bytes_out")),
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


def _addresses(rows: Rows) -> Text:
    """Client addresses as text; "unix" where there was none, on a Unix socket."""
    words = np.ascontiguousarray(rows["address"]).view("<u4")
    if not ((words[:, 2] == _MAPPED) & (words[:, 0] == 0) & (words[:, 1] == 0)).all():
        return _mixed_addresses(words)
    octets = words[:, 3].copy().view(np.uint8)
    data = _OCTETS[octets].view(np.uint8).reshape(-1, 16)
    last = _OCTET_LENGTHS[octets[3::4]] - 1
    data[np.arange(len(data)), 12 + last] = 0  # the dot after the last
    offsets = np.zeros(len(rows) + 1, np.int32)
    np.cumsum(_OCTET_LENGTHS[octets].reshape(-1, 4).sum(axis=1) - 1, out=offsets[1:])
    return Text(offsets, data[data != 0])


def _mixed_addresses(words: Buffer) -> Text:
    different, codes = np.unique(words.view("V16"), return_inverse=True)
    text = np.array([_address(raw.tobytes()) for raw in different], object)
    return text_of(text[codes.reshape(-1)].tolist())


def _address(raw: bytes) -> str:
    if raw[:12] == b"\0" * 10 + b"\xff\xff":
        return socket.inet_ntop(socket.AF_INET, raw[12:])
    return socket.inet_ntop(socket.AF_INET6, raw) if any(raw) else "unix"

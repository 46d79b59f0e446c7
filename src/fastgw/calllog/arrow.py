"""Decides how numpy buffers are handed to DuckDB without a copy and without an object per value: as an Arrow stream.

The C data interface (arrow.apache.org/docs/format/CDataInterface.html, CStreamInterface.html, PyCapsule protocol) with
what the call log needs of it: fixed-width numbers, strings, strings by dictionary; nothing is ever null.
"""

import ctypes
import errno
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from ctypes import POINTER, c_char_p, c_int, c_int64, c_void_p
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Buffer = NDArray[Any]
UTF8 = "u"
UUID = "w:16"  # sixteen octets each, big-endian; shown as a UUID (the extension type arrow.uuid)
# Pairs of keys and values, each with its length before it, as int32 of this machine.
_UUID_METADATA = b"".join(
    part if isinstance(part, bytes) else part.to_bytes(4, sys.byteorder)
    for part in (2, 20, b"ARROW:extension:name", 10, b"arrow.uuid", 24, b"ARROW:extension:metadata", 0)
)


class Text(NamedTuple):
    """Strings end to end: row i is `data[offsets[i]:offsets[i + 1]]`; `offsets` int32 of n + 1, `data` uint8."""

    offsets: Buffer
    data: Buffer

    def strings(self) -> list[str]:
        """One `str` a row; the data is ASCII or UTF-8."""
        raw, ends = self.data.tobytes(), self.offsets.tolist()
        return [raw[start:end].decode() for start, end in itertools.pairwise(ends)]


class Coded(NamedTuple):
    """Strings by dictionary: row i is `words[codes[i]]`; `codes` int32."""

    codes: Buffer
    words: Text


Column = Buffer | Text | Coded


class Field(NamedTuple):
    """A column's name and its Arrow format string: "l" int64, "I" uint32, "u" a string …; `coded` for a dictionary."""

    name: str
    format: str
    coded: bool = False


class Batch(NamedTuple):
    length: int
    columns: Sequence[Column]


def text_of(words: Sequence[str]) -> Text:
    raw = [word.encode() for word in words]
    offsets = np.zeros(len(raw) + 1, np.int32)
    np.cumsum([len(word) for word in raw], out=offsets[1:])
    return Text(offsets, np.frombuffer(b"".join(raw) or b"\0", np.uint8))


class _Schema(ctypes.Structure):
    pass


class _Array(ctypes.Structure):
    pass


class _Stream(ctypes.Structure):
    pass


_Schema._fields_ = [
    ("format", c_char_p), ("name", c_char_p), ("metadata", c_char_p), ("flags", c_int64), ("n_children", c_int64),
    ("children", POINTER(POINTER(_Schema))), ("dictionary", POINTER(_Schema)), ("release", c_void_p),
    ("private_data", c_void_p),
]  # fmt: skip
_Array._fields_ = [
    ("length", c_int64), ("null_count", c_int64), ("offset", c_int64), ("n_buffers", c_int64), ("n_children", c_int64),
    ("buffers", POINTER(c_void_p)), ("children", POINTER(POINTER(_Array))), ("dictionary", POINTER(_Array)),
    ("release", c_void_p), ("private_data", c_void_p),
]  # fmt: skip
_OnSchema = ctypes.CFUNCTYPE(None, POINTER(_Schema))
_OnArray = ctypes.CFUNCTYPE(None, POINTER(_Array))
_OnStream = ctypes.CFUNCTYPE(None, POINTER(_Stream))
_GetSchema = ctypes.CFUNCTYPE(c_int, POINTER(_Stream), POINTER(_Schema))
_GetNext = ctypes.CFUNCTYPE(c_int, POINTER(_Stream), POINTER(_Array))
_GetError = ctypes.CFUNCTYPE(c_void_p, POINTER(_Stream))
_Stream._fields_ = [
    ("get_schema", _GetSchema), ("get_next", _GetNext), ("get_last_error", _GetError), ("release", _OnStream),
    ("private_data", c_void_p),
]  # fmt: skip

# What the consumer still uses, by the number in `private_data`: it may outlive the table, and be freed in any thread.
_in_use: dict[int, object] = {}
_numbers = itertools.count(1)


def _lend(thing: object) -> int:
    number = next(_numbers)
    _in_use[number] = thing
    return number


def _release_schema(schema: Any) -> None:
    _in_use.pop(schema[0].private_data or 0, None)
    schema[0].release = None


def _release_array(array: Any) -> None:
    _in_use.pop(array[0].private_data or 0, None)
    array[0].release = None


# Kept for as long as the process lives, as what C code calls must be.
_on_schema = _OnSchema(_release_schema)
_on_array = _OnArray(_release_array)
_SCHEMA_DONE = ctypes.cast(_on_schema, c_void_p)
_ARRAY_DONE = ctypes.cast(_on_array, c_void_p)


def _schema_of(fields: Sequence[Field]) -> _Schema:
    children = (POINTER(_Schema) * len(fields))()
    kept: list[object] = [children]
    for i, field in enumerate(fields):
        kind = "i" if field.coded else field.format
        child = _Schema(format=kind.encode(), name=field.name.encode(), release=_SCHEMA_DONE)
        if field.format == UUID:
            child.metadata = _UUID_METADATA
        if field.coded:
            words = _Schema(format=field.format.encode(), name=b"", release=_SCHEMA_DONE)
            child.dictionary = ctypes.pointer(words)
        kept.append(child)
        children[i] = ctypes.pointer(child)
    whole = _Schema(format=b"+s", name=b"", n_children=len(fields), children=children, release=_SCHEMA_DONE)
    whole.private_data = _lend(kept)
    return whole


def _array_of(batch: Batch) -> _Array:
    kept: list[object] = [batch]

    def array(length: int, *buffers: Buffer) -> _Array:
        addresses = (c_void_p * (1 + len(buffers)))(None, *(buffer.ctypes.data for buffer in buffers))
        made = _Array(length=length, n_buffers=1 + len(buffers), buffers=addresses, release=_ARRAY_DONE)
        kept.extend((addresses, buffers, made))
        return made

    children = (POINTER(_Array) * len(batch.columns))()
    for i, column in enumerate(batch.columns):
        if isinstance(column, Coded):
            child = array(batch.length, column.codes)
            child.dictionary = ctypes.pointer(array(len(column.words.offsets) - 1, *column.words))
        elif isinstance(column, Text):
            child = array(batch.length, *column)
        else:
            child = array(batch.length, column)
        children[i] = ctypes.pointer(child)
    whole = array(batch.length)
    whole.n_children = len(batch.columns)
    whole.children = children
    whole.private_data = _lend([children, kept])
    return whole


class _Reader:
    """One pass over the batches, as the callbacks of one stream."""

    def __init__(self, table: "ArrowTable") -> None:
        self.table = table
        self.batches = table.batches()
        self.error = ctypes.create_string_buffer(b"", 256)
        self.stream = _Stream(
            get_schema=_GetSchema(self.get_schema),
            get_next=_GetNext(self.get_next),
            get_last_error=_GetError(lambda _: ctypes.addressof(self.error)),
            release=_on_stream,
            private_data=_lend(self),
        )

    def get_schema(self, _: Any, out: Any) -> int:
        out[0] = _schema_of(self.table.fields)
        return 0

    def get_next(self, _: Any, out: Any) -> int:
        try:
            batch = next(self.batches, None)
            out[0] = _Array() if batch is None else _array_of(batch)
        except Exception as error:  # must not pass through the foreign code between here and the query
            self.table.error = error
            self.error.value = repr(error).encode()[:255]
            return errno.EIO
        return 0


def _release_stream(stream: Any) -> None:
    number = stream[0].private_data or 0
    ctypes.memset(ctypes.addressof(stream[0]) + _Stream.release.offset, 0, ctypes.sizeof(c_void_p))
    _in_use.pop(number, None)


_on_stream = _OnStream(_release_stream)


_OnCapsule = ctypes.PYFUNCTYPE(None, c_void_p)
_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = [c_void_p, c_char_p, _OnCapsule]
_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.restype = c_void_p
_pointer_of.argtypes = [c_void_p, c_char_p]
_CAPSULE = b"arrow_array_stream"  # the capsule keeps the pointer, not the text
_in_capsules: dict[int, _Stream] = {}  # by address, as long as there is the capsule, whoever has moved the content


def _release_capsule(capsule: int) -> None:
    """Nobody has taken the stream out of it: a look at the schema needs only that."""
    stream = _in_capsules.pop(_pointer_of(capsule, _CAPSULE))
    if stream.release:
        _release_stream(ctypes.pointer(stream))


_on_capsule = _OnCapsule(_release_capsule)


class ArrowTable:
    """A table that DuckDB scans, once registered. `batches()` starts a pass: it is called once a scan, in its thread.

    What `batches` raises ends the query, and is then in `error`.
    """

    def __init__(self, fields: Sequence[Field], batches: Callable[[], Iterator[Batch]]) -> None:
        self.fields = fields
        self.batches = batches
        self.error: Exception | None = None

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        reader = _Reader(self)
        address = ctypes.addressof(reader.stream)
        _in_capsules[address] = reader.stream
        return _new_capsule(address, _CAPSULE, _on_capsule)

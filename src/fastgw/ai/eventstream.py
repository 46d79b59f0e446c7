"""Decides where one message of an AWS event stream ends and the next begins, and what its headers say.

https://smithy.io/2.0/aws/amazon-eventstream.html: lengths, their checksum, headers, payload, the checksum of all.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

MESSAGE_BYTES_MAX = 24 << 20  # as the format has it
_PRELUDE = struct.Struct(">III")  # bytes of the message, bytes of its headers, checksum of both
_CHECKSUM = struct.Struct(">I")
_LENGTH = struct.Struct(">H")
_STRING, _BYTES = 7, 6  # types of a header's value that are preceded by its length
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}  # of the other types


class Message(NamedTuple):
    headers: dict[str, str]  # those that are strings
    payload: bytes


class Messages:
    """Cuts a stream into its messages."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """The messages that end here. ValueError: this is no event stream, or it was damaged."""
        self._rest += data
        return list(self._messages())

    @property
    def whole(self) -> bool:
        """Whether no message has only begun."""
        return not self._rest

    def _messages(self) -> Iterator[Message]:
        while len(self._rest) >= _PRELUDE.size:
            size, headers_size, checksum = _PRELUDE.unpack_from(self._rest)
            if zlib.crc32(self._rest[:8]) != checksum or size > MESSAGE_BYTES_MAX:
                raise ValueError("this is no AWS event stream")
            if size < _PRELUDE.size + headers_size + _CHECKSUM.size:
                raise ValueError("a message of the event stream is shorter than its headers")
            if len(self._rest) < size:
                return
            message = bytes(self._rest[:size])
            del self._rest[:size]
            yield _message(message, _PRELUDE.size + headers_size)


def _message(message: bytes, payload_at: int) -> Message:
    end = len(message) - _CHECKSUM.size
    if zlib.crc32(message[:end]) != _CHECKSUM.unpack_from(message, end)[0]:
        raise ValueError("a message of the event stream is damaged")
    try:
        headers = dict(_headers(message[_PRELUDE.size : payload_at]))
    except (struct.error, IndexError, KeyError):
        raise ValueError("the headers of a message of the event stream make no sense") from None
    return Message(headers, message[payload_at:end])


def _headers(data: bytes) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(data):
        named = at + 1 + data[at]
        name, kind = data[at + 1 : named].decode(), data[named]
        at = named + 1
        if kind in (_STRING, _BYTES):
            size = _LENGTH.unpack_from(data, at)[0]
            at += _LENGTH.size
        else:
            size = _SIZES[kind]
        if kind == _STRING:
            yield name, data[at : at + size].decode()
        at += size

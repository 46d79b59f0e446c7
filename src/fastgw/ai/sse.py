"""Decides where one server-sent event ends and the next begins (WHATWG HTML §9.2)."""

from __future__ import annotations

import re

from .._sse import cut, data_at, is_event

EVENT_BYTES_MAX = 64 << 20  # of one event, whose end is awaited

CR = 13
DONE = b"data: [DONE]\n\n"  # how a stream of OpenAI's ends
_BLANK = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")


class Blocks:
    """Cuts a stream into blocks, each of the lines of an event and the blank one after them: together, they are all of
    it, byte for byte."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The blocks that end here. ValueError: one is too long."""
        rest = self._rest
        if not rest and is_event(data):
            return [data]
        blocks = None if rest else cut(data)
        if blocks is not None:
            if blocks and not blocks[-1].endswith(b"\n\n"):
                rest += blocks.pop()
            return blocks
        searched = max(len(rest) - 3, 0)
        if rest:
            rest += data
        buffer = rest or data
        blocks = []
        start = 0
        for end in _ends(buffer, searched):
            blocks.append(bytes(buffer[start:end]))
            start = end
        if rest:
            del rest[:start]
        elif start < len(data):
            rest += data[start:]
        if len(rest) > EVENT_BYTES_MAX:
            raise ValueError("a server-sent event is too long")
        return blocks

    def finish(self) -> bytes:
        """What is left where the stream has ended without a blank line."""
        rest = bytes(self._rest)
        self._rest.clear()
        return rest


def _ends(buffer: bytes | bytearray, searched: int) -> list[int]:
    blank = b"\n\n"
    if CR in buffer:
        if not buffer.count(b"\r\n") == buffer.count(b"\n") == buffer.count(b"\r"):
            return [match.end() for match in _BLANK.finditer(buffer, searched)]
        blank = b"\r\n\r\n"  # and nothing else, as Google ends its lines
    ends = []
    end = buffer.find(blank, searched)
    while end >= 0:
        ends.append(end + len(blank))
        end = buffer.find(blank, ends[-1])
    return ends


def data_of(block: bytes) -> bytes:
    """What an event carries; b"" where it is a comment, or a name alone."""
    at = data_at(block)
    if at >= 0:
        return block[at:-2]
    lines = [line[5:].removeprefix(b" ") for line in block.splitlines() if line.startswith(b"data:")]
    return b"\n".join(lines)


class Events:
    """Cuts a stream into what its events carry. Names, ids and comments are left out: dialects name their events in
    the data."""

    def __init__(self) -> None:
        self._blocks = Blocks()

    def feed(self, data: bytes) -> list[bytes]:
        """The data of the events that end here. ValueError: one is too long."""
        return [event for block in self._blocks.feed(data) if (event := data_of(block))]

    def finish(self) -> list[bytes]:
        """The last event, if the stream ended without the blank line after it."""
        event = data_of(self._blocks.finish())
        return [event] if event else []


def event(data: bytes, name: bytes = b"") -> bytes:
    """An event; `data` has no line ends."""
    return b"event: %b\ndata: %b\n\n" % (name, data) if name else b"data: %b\n\n" % data

"""Decides where one server-sent event ends and the next begins (WHATWG HTML §9.2)."""

from __future__ import annotations

import re

EVENT_BYTES_MAX = 64 << 20  # of one event, whose end is awaited

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
    if b"\r" in buffer:
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
    start = 6 if block.startswith(b"data: ") else block.find(b"\ndata: ") + 7
    if start != 6 or block.startswith(b"data: "):
        data = block[start:-2].removesuffix(b"\r\n")
        if block.endswith((b"\n\n", b"\r\n\r\n")) and b"\n" not in data and b"\r" not in data:
            return data  # as nearly every event is: one line
    lines = (line[5:].removeprefix(b" ") for line in block.splitlines() if line.startswith(b"data:"))
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

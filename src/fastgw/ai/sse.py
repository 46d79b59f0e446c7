"""Decides where one server-sent event ends and the next begins (WHATWG HTML §9.2)."""

from __future__ import annotations

EVENT_BYTES_MAX = 64 << 20  # of one event, whose end is awaited


class Events:
    """Cuts a stream into what its events carry. Names, ids and comments are left out: dialects name their events in
    the data. Lines end with LF or CRLF; the lone CR of the standard is sent by nobody."""

    def __init__(self) -> None:
        self._rest = b""  # of a line
        self._data: list[bytes] = []  # of an event

    def feed(self, data: bytes) -> list[bytes]:
        """The data of the events that end here. ValueError: one is too long."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > EVENT_BYTES_MAX:
            raise ValueError("a server-sent event is too long")
        return [event for line in lines if (event := self._line(line.removesuffix(b"\r"))) is not None]

    def finish(self) -> list[bytes]:
        """The last event, if the stream ended without the blank line after it."""
        return [event for event in (*self.feed(b"\n"), self._line(b"")) if event is not None]

    def _line(self, line: bytes) -> bytes | None:
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
        elif not line and self._data:
            event = b"\n".join(self._data)
            self._data.clear()
            return event
        return None


def event(data: bytes, name: bytes = b"") -> bytes:
    """An event; `data` has no line ends."""
    return b"event: %b\ndata: %b\n\n" % (name, data) if name else b"data: %b\n\n" % data

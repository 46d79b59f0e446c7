"""Decides whether the gateway and h11, which is strict about RFC 9112, read the same requests out of the same bytes.

The gateway's side is its real path, from `Connection.data_received` to what an upstream's connection is given, with
sockets whose other ends are read here instead of an event loop. h11 may take what the gateway refuses; never the other
way round, and what both take must mean the same to both, and to h11 again as it is forwarded.
"""

from __future__ import annotations

import re
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h11

from fastgw._segment import Segment
from fastgw.config.load import load
from fastgw.dataplane.connection import Connection
from fastgw.dataplane.doors import Door
from fastgw.dataplane.plane import Plane
from fastgw.dataplane.pool import UpstreamConnection

CONFIG = """
[server]
url_max = "2KiB"
head_max = "4KiB"
[[upstreams]]
name = "echo"
targets = ["http://127.0.0.1:9"]
[[routes]]
name = "all"
path = "/"
upstream = "echo"
auth = "none"
forward_key = true
upgrades = []
"""
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Seen: %d\r\n\r\n"
# Trailers are dropped, so that what they say of framing means nothing (RFC 9110 §6.5.1); h11 looks at it all the same.
NO_TRAILERS = (b"transfer-encoding", b"content-length")
EMPTY_LINES = re.compile(rb"(?:\r?\n)*")
# What the gateway sets itself, or keeps from an upstream: of one connection, or of the way here
OWN_FIELDS = frozenset({
    b"host", b"via", b"x-request-id", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"forwarded",
    b"x-real-ip", b"transfer-encoding",
})  # fmt: skip


class Request(NamedTuple):
    """One request as somebody has read it; `whole` when its body has come to its end."""

    method: bytes
    target: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes
    whole: bool
    version: bytes


class Refused(NamedTuple):
    """A request that was not taken; `closes` when nothing after it was looked at."""

    status: int
    closes: bool


class Later:
    """A timer of a loop that never turns."""

    def cancel(self) -> None:
        """It will not come anyway."""


class StillLoop:
    """The event loop, as far as a plane asks for one; no time passes in it."""

    def time(self) -> float:
        return 0.0

    def call_later(self, *_: object) -> Later:
        return Later()

    def call_soon(self, *_: object) -> Later:
        return Later()


class Wire:
    """A transport whose other end is read by `sent`."""

    def __init__(self) -> None:
        self.socket, self.other = socket.socketpair()
        for end in (self.socket, self.other):
            end.setblocking(False)
        self.ended = False
        self.reading = True

    def get_extra_info(self, name: str) -> Any:
        return self.socket if name == "socket" else ("127.0.0.1", 1) if name == "peername" else None

    def set_write_buffer_limits(self, *_: object) -> None:
        """Nothing is buffered."""

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: bytes) -> None:
        raise AssertionError(f"{len(data)} bytes more than the socket takes")

    def write_eof(self) -> None:
        """The other side is not told."""

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.ended

    def close(self) -> None:
        self.ended = True

    abort = close

    def sent(self) -> bytes:
        """What has been written since the last time."""
        parts = []
        try:
            while part := self.other.recv(1 << 20):
                parts.append(part)
        except BlockingIOError:
            pass
        return b"".join(parts)

    def shut(self) -> None:
        self.socket.close()
        self.other.close()


class Gateway:
    """A plane with a segment of its own; `read` may be called any number of times."""

    def __init__(self) -> None:
        self.directory = tempfile.TemporaryDirectory(prefix="fastgw-fuzz-")
        file = Path(self.directory.name, "fastgw.toml")
        file.write_text(CONFIG)
        config = load(str(file), {}, {})
        sizes = {"keys_max": 1, "accounts_max": 1, "routes_max": 1, "journal_records": 256}
        self.segment = Segment.create(f"{self.directory.name}/segment", secret=bytes(32), **sizes)
        self.segment.route_slot("all")
        loop: Any = StillLoop()
        self.plane = Plane(config, self.segment, 0, loop)
        self.door = Door(self.plane, config.listeners[0])
        [self.pool] = self.plane.upstreams["echo"].pools

    def read(self, parts: Sequence[bytes]) -> list[Request | Refused]:
        """What it makes of the parts, in their order, up to where it closes or they end."""
        reading = Reading(self)
        try:
            for part in parts:
                reading.feed(part)
            return reading.requests()
        finally:
            reading.end()


class Reading:
    """One client connection, whose requests are answered as soon as they are whole."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.wire = Wire()
        self.wires = [self.wire]
        self.connection: Connection = gateway.door.receiver()  # type: ignore[assignment]
        self.connection.connection_made(self.wire)
        self.upstream, self.upstream_wire = self._upstream()
        self.forwarded: list[bytes] = [b""]
        self.answers = b""

    def _upstream(self) -> tuple[UpstreamConnection, Wire]:
        """A connection in the pool, as if it had served before."""
        pool = self.gateway.pool
        pool.open += 1
        connection = UpstreamConnection(pool, None)  # type: ignore[arg-type]
        wire = Wire()
        self.wires.append(wire)
        connection.connection_made(wire)
        return connection, wire

    def feed(self, part: bytes) -> None:
        if part and not self.connection.closing:
            assert self.wire.reading, "more is read than is paused"
            self.connection.data_received(part)
            self._answer()

    def _answer(self) -> None:
        """Answer every request that is whole; the next may come out of what is stashed."""
        while True:
            self.forwarded[-1] += self.upstream_wire.sent()
            self.answers += self.wire.sent()
            exchange = self.upstream.exchange
            if exchange is None or exchange.request_open:
                break
            self.upstream.data_received(ANSWER % (len(self.forwarded) - 1))
            self.forwarded.append(b"")
        if self.upstream_wire.ended:
            self.upstream.connection_lost(None)
            self.upstream, self.upstream_wire = self._upstream()

    def requests(self) -> list[Request | Refused]:
        found: list[Request | Refused] = []
        for status, seen, closes in answers_in(self.answers):
            found.append(Refused(status, closes) if seen < 0 else self._as_forwarded(seen))
        if self.upstream.exchange is not None:  # one whose body has not come to its end
            found.append(self._as_forwarded(len(self.forwarded) - 1))
        return found

    def _as_forwarded(self, number: int) -> Request:
        [*requests], rest = strictly([self.forwarded[number]])
        assert len(requests) == 1, f"forwarded as {requests} and {rest!r}: {self.forwarded[number]!r}"
        assert isinstance(requests[0], Request), f"not fit to be forwarded: {self.forwarded[number]!r}"
        assert rest == b"", f"{rest!r} behind what is forwarded: {self.forwarded[number]!r}"
        return requests[0]

    def end(self) -> None:
        """Leave nothing behind in the plane."""
        self.wire.ended = True
        self.connection.connection_lost(None)
        self.upstream.connection_lost(None)
        for wire in self.wires:
            wire.shut()


def answers_in(data: bytes) -> list[tuple[int, int, bool]]:
    """Of each final answer: status, the number that it echoes or -1, and whether it is the last."""
    found = []
    while data:
        head, separator, data = data.partition(b"\r\n\r\n")
        assert separator, f"no answer: {head!r}"
        status = int(head[9:12])
        if status < 200:
            continue
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        length = int(fields.get(b"Content-Length", b"0"))
        if not data.startswith(b"HTTP/1.1 "):  # else it is the answer to a HEAD
            data = data[length:]
        found.append((status, int(fields.get(b"X-Seen", b"-1")), fields.get(b"Connection") == b"close"))
    return found


def strictly(parts: Sequence[bytes]) -> tuple[list[Request | Refused], bytes]:
    """What h11 makes of the parts, and what it has not looked at. Empty lines before a request are skipped, which
    RFC 9112 §2.2 asks of a server and h11 does not do."""
    found: list[Request | Refused] = []
    waiting = list(parts)
    rest = b""
    while True:
        while waiting and not rest.lstrip(b"\r\n"):
            rest += waiting.pop(0)
        rest = rest[EMPTY_LINES.match(rest).end() :]  # type: ignore[union-attr]
        if not rest or (rest == b"\r" and not waiting):
            return found, b""
        one, rest = _one(rest, waiting)
        if one is None:
            return found, b""
        found.append(one)
        if isinstance(one, Refused) or not one.whole or closes_by(one):
            return found, rest + b"".join(waiting)


def _end_of_message(headers: Sequence[tuple[bytes, bytes]] = ()) -> h11.EndOfMessage:
    """In the place of h11's own: trailers that mean nothing are left out."""
    return h11.EndOfMessage(headers=[(name, value) for name, value in headers if name.lower() not in NO_TRAILERS])


h11._readers.EndOfMessage = _end_of_message  # type: ignore[attr-defined,assignment]


def closes_by(request: Request) -> bool:
    """Whether h11 takes no other request behind this one."""
    options = [option.strip().lower() for name, value in request.fields if name == b"connection"
               for option in value.split(b",")]  # fmt: skip
    return request.version != b"1.1" or b"close" in options


def _one(rest: bytes, waiting: list[bytes]) -> tuple[Request | Refused | None, bytes]:
    """One request out of `rest` and what `waiting` is taken for it; and what is left of `rest`."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(rest)
    request: h11.Request | None = None
    body = bytearray()
    whole = False
    try:
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                if not waiting:
                    break
                connection.receive_data(part) if (part := waiting.pop(0)) else None
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                whole = True
                break
            else:
                break
    except h11.RemoteProtocolError as error:
        return Refused(error.error_status_hint, True), b""
    if request is None:
        return None, b""
    fields = tuple((bytes(name), bytes(value)) for name, value in request.headers)
    found = Request(request.method, request.target, fields, bytes(body), whole, request.http_version)
    return found, bytes(connection.trailing_data[0])


def difference(ours: list[Request | Refused], theirs: list[Request | Refused]) -> str:
    """What the gateway takes and h11 does not, or takes for something else; "" where there is nothing."""
    for number, mine in enumerate(ours):
        other = theirs[number] if number < len(theirs) else None
        if isinstance(mine, Refused):
            if mine.closes:
                return ""
            if not isinstance(other, Request):
                return f"request {number}: refused with {mine.status} and gone on, h11: {other}"
        elif not isinstance(other, Request):
            return f"request {number}: taken as {mine}, h11: {other}"
        elif problem := _unlike(mine, other):
            return f"request {number}: {problem}: {mine}, h11: {other}"
        if isinstance(other, Request) and (closes_by(other) or not other.whole):
            return ""
    return ""


def _unlike(mine: Request, other: Request) -> str:
    if mine.method != other.method:
        return "another method"
    if mine.target != origin_form(other.target):
        return "another target"
    if mine.whole != other.whole:
        return "a body that ends elsewhere"
    if mine.body != other.body:
        return "another body"
    invented = set(mine.fields) - set(other.fields) - {field for field in mine.fields if field[0] in OWN_FIELDS}
    return f"invented {invented}" if invented else ""


def origin_form(target: bytes) -> bytes:
    """The target as it is sent to an origin server (RFC 9112 §3.2.1), whatever its form."""
    absolute = re.fullmatch(rb"(?i:https?)://[^/?#]+(/[^?#]*)?(\?[^#]*)?(#.*)?", target)
    return (absolute[1] or b"/") + (absolute[2] or b"") if absolute else target


def compare(gateway: Gateway, parts: Sequence[bytes]) -> str:
    """The difference of the two readings of the same parts."""
    ours = gateway.read(parts)
    theirs, _ = strictly(parts)
    return difference(ours, theirs)

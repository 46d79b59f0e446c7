"""Decides how a call with an Idempotency-Key goes on: made and remembered, refused, or answered with what is kept.

The first call with its key is made like any other, and what it answers is kept when it is charged. It goes on though
its client has gone, who may be about to ask again. A repetition must have come whole before it gets the same.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from .._http import FRAMING_CHUNKED, FRAMING_NONE, ChunkedBody, find_head_end
from .._idempotency import ANSWER_MAX, BUSY, FULL, KEPT, idempotency_key
from ..refusals import Refusal
from .ends import ClientEnd, UpstreamEnd
from .exchange import Exchange
from .stages import ENDED, WAITING

if TYPE_CHECKING:
    from .._call import Ticket
    from .plane import Plane
    from .service import Service

# Who cannot pay for another call may still ask for the answer to one that is paid.
FORGIVEN = frozenset(
    (
        Refusal.INSUFFICIENT_BALANCE,
        Refusal.BALANCE_HELD,
        Refusal.BUDGET_EXHAUSTED,
        Refusal.QUOTA_EXHAUSTED,
        Refusal.LEDGER_UNAVAILABLE,
    )
)
REPLAYED = b"Idempotency-Replayed: true\r\n\r\n"
CHUNKED_LINES = b"Transfer-Encoding: chunked\r\n\r\n"
CHUNKED_ROOM = 4096  # bytes of a kept answer that may be spent on the framing of chunks


class Opening:
    """What is to be done with a request: make or answer `exchange`, or refuse with `verdict`, and settle `ticket` if it
    is there."""

    def __init__(self, exchange: Exchange | None, verdict: int, ticket: Ticket | None) -> None:
        self.exchange = exchange
        self.verdict = verdict
        self.ticket = ticket


def open_call(
    plane: Plane, client: ClientEnd, service: Service, verdict: int, plain: type[Exchange], first: type[Exchange]
) -> Opening:
    """What becomes of the request that the gate has just admitted, or refused with one of FORGIVEN: a call is `plain`
    without a key, and `first` with one that nobody has."""
    gate = plane.gate
    calls = plane.calls
    assert calls is not None
    refused = Opening(None, verdict, None)
    try:
        key = idempotency_key(gate.head)
    except ValueError:
        return Opening(None, Refusal.IDEMPOTENCY_KEY_INVALID, gate.ticket()) if verdict == 0 else refused
    if key is None:
        if verdict:
            return refused
        return Opening(plain(plane, client, gate.ticket(), service), 0, None)
    found = calls.find(gate, service.name, key) if verdict else calls.take(gate, service.name, key)
    if found == KEPT:
        ticket = calls.paid_ticket(gate) if verdict else gate.ticket()
        return Opening(Repetition(plane, client, ticket, service), 0, None)
    if verdict:
        return Opening(None, Refusal.IDEMPOTENCY_IN_FLIGHT, None) if found == BUSY else refused
    if found in (BUSY, FULL):
        refusal = Refusal.IDEMPOTENCY_IN_FLIGHT if found == BUSY else Refusal.OVERLOADED
        return Opening(None, refusal, gate.ticket())
    return Opening(first(plane, client, gate.ticket(), service), 0, None)


class Kept:
    """What is kept of an answer's body: `parts`, None where it is too large; `room` is left for more of it."""

    def __init__(self) -> None:
        self.parts: list[bytes] | None = []
        self.room = ANSWER_MAX

    def note(self, data: bytes) -> None:
        """Remember a part of it."""
        if self.parts is not None:
            self.room -= len(data)
            if self.room < 0:
                self.parts = None
            elif data:
                self.parts.append(data)


def go_on_alone(exchange: Exchange) -> None:
    """Make the call to its end though its client has gone."""
    exchange.keep_client = False
    exchange.client = Nobody(exchange.plane, exchange)
    if exchange.upstream is not None and exchange.upstream.held:
        exchange.answer_input(False)


class KeyedExchange(Exchange):
    """A call with a key; `number` and `word` say where in the table the key was found."""

    def __init__(self, plane: Plane, client: ClientEnd, ticket: Ticket, service: Service) -> None:
        super().__init__(plane, client, ticket, service)
        head = plane.gate.head
        self.calls = plane.calls
        self.number = plane.calls.number if plane.calls is not None else 0
        self.word = plane.calls.word if plane.calls is not None else 0
        self.digest = hashlib.blake2b(b"%b %b\n" % (head.method, head.target), digest_size=16)
        self.bare: ChunkedBody | None = None

    def start(self, data: bytes, end: int) -> int:
        stop = Exchange.start(self, data, end)
        self._hash(data, end, stop)
        return stop

    def request_data(self, data: bytes) -> int:
        taken = Exchange.request_data(self, data)
        self._hash(data, 0, taken)
        return taken

    def _hash(self, data: bytes, start: int, end: int) -> None:
        """Take in a part of the body, bare: how it was cut into chunks makes no other request of it."""
        if end > start:
            part = data[start:end]
            if self.request_chunks is not None:
                if self.bare is None:
                    self.bare = ChunkedBody()
                part = self.bare.feed(part, 0, False)
            self.digest.update(part)

    def _fingerprint(self) -> bytes:
        """Of method, target and body; empty when not all of the body has come."""
        return b"" if self.request_open else self.digest.digest()


class FirstCall(KeyedExchange):
    """The call that has the key: nobody else can make it until it is over."""

    def __init__(self, plane: Plane, client: ClientEnd, ticket: Ticket, service: Service) -> None:
        super().__init__(plane, client, ticket, service)
        self.lines = b""  # of the answer's head
        self.dated = False
        self.heading = False  # the head is about to be passed on
        self.kept = Kept()  # of the answer's body, as the client gets it
        self.whole = False
        self.alone = False  # the client has gone

    def _frame(self, status: int) -> None:
        Exchange._frame(self, status)
        answer = self.plane.answer
        if self.framing == FRAMING_NONE:
            self.lines = answer.render(b"", FRAMING_NONE, 0, 0)[:-2]
        else:
            self.lines = answer.render(b"", FRAMING_CHUNKED, 0, 0)[: -len(CHUNKED_LINES)]
        self.kept.room = ANSWER_MAX - len(self.lines) + (CHUNKED_ROOM if self.framing == FRAMING_CHUNKED else 0)
        self.dated = answer.dated
        self.heading = True

    def _pass_on(self, data: bytes, done: bool) -> None:
        if not done:
            self._note(data)
            if self.alone and self.kept.parts is None:
                Exchange.client_gone(self)  # what cannot be kept is of no use to anybody any more
                self.client.finished(False)
                return
        Exchange._pass_on(self, data, done)

    def _complete(self, last: bytes) -> None:
        self._note(last)
        self.whole = True
        Exchange._complete(self, last)

    def _note(self, data: bytes) -> None:
        """Remember a part of the answer."""
        if self.heading:
            self.heading = False
            data = data[find_head_end(data, 0) :]
        self.kept.note(data)

    def _body(self) -> bytes | None:
        """The body of an answer that can be kept."""
        if not self.whole or self.kept.parts is None:
            return None
        body = b"".join(self.kept.parts)
        return ChunkedBody().feed(body, 0, False) if self.framing == FRAMING_CHUNKED else body

    def _end(self, verdict: int, status: int, charge: bool) -> None:
        """It is charged and remembered, or neither: its key is then free for another attempt."""
        calls = self.calls
        charge = charge or (self.sent and self.service.always)
        if self.alone and verdict == 0:
            verdict, status = Refusal.CLIENT_GONE, 499
        if charge and calls is not None:
            body = self._body()
            lines = self.lines
            if body is not None and self.framing != FRAMING_NONE:
                lines += b"Content-Length: %d\r\n" % len(body)
            window_ms = self.service.window_ms
            calls.keep(self.ticket, self.number, self._fingerprint(), lines, body, self.dated, window_ms)
        Exchange._end(self, verdict, status, charge)
        if calls is not None:
            calls.end(self.number, charge)

    def client_gone(self) -> None:
        """It goes on without its client, if all of the request has come, as long as the answer can be kept; but it does
        not wait for room without one."""
        if self.stage == ENDED:
            return
        if self.request_open or self.kept.parts is None or self.alone or self.waits:
            Exchange.client_gone(self)
            return
        self.alone = True
        go_on_alone(self)


class Repetition(KeyedExchange):
    """A call whose like has been made: it gets the answer that is kept, once all of it has come."""

    def start(self, data: bytes, end: int) -> int:
        stop = KeyedExchange.start(self, data, end)
        self._answer()
        return stop

    def _choose(self) -> None:
        pass

    def _take(self, fresh: bool) -> None:  # noqa: ARG002
        """There is nobody to send it to; only it must not take for ever to come."""
        self.upstream = Nowhere(self.plane, self)
        self._await_client()

    def request_data(self, data: bytes) -> int:
        taken = KeyedExchange.request_data(self, data)
        self._answer()
        return taken

    def _answer(self) -> None:
        if self.request_open or self.stage != WAITING or self.calls is None:
            return
        refusal, lines, body, dated = self.calls.answer(self.number, self.word, self._fingerprint())
        if refusal:
            self.unserved(refusal)
            return
        keep = self.keep_client and not self.plane.parting
        out = lines + self.gate.answer_lines(self.ticket, not keep, dated) + REPLAYED + body
        self.bytes_out = len(out)
        self._end(0, int(lines[9:12]), False)
        self.client.send(out)
        self.client.finished(keep)


class Nowhere(UpstreamEnd):
    """In the place of a connection to a target, for a call that is not sent to any."""

    def __init__(self, plane: Plane, exchange: Exchange) -> None:
        super().__init__()
        self.plane = plane
        self.exchange: Exchange | None = exchange

    def hold_input(self, held: bool) -> None:
        pass

    def expect(self, within_ms: int) -> None:
        self.plane.wheel.arm(self, within_ms)

    def on_deadline(self) -> None:
        if self.exchange is not None:
            self.exchange.upstream_late()

    def give_back(self, reusable: bool) -> None:  # noqa: ARG002
        self.exchange = None
        self.deadline = 0


class Nobody(ClientEnd):
    """In the place of a client that has gone; the plane counts it among its clients, and waits for it."""

    def __init__(self, plane: Plane, exchange: Exchange) -> None:
        super().__init__()
        self.plane = plane
        self.exchange: Exchange | None = exchange
        plane.clients.add(self)

    def hold_input(self, held: bool) -> None:
        pass

    def finished(self, keep: bool) -> None:  # noqa: ARG002
        self.plane.clients.discard(self)

    def broken(self) -> None:
        self.plane.clients.discard(self)

    def drain(self) -> None:
        pass

"""Decides how a request for another protocol goes on: what is asked of the upstream, and whether its answer opens a
tunnel or is one like any other (RFC 9110 §7.8).

Only a request without a body asks: the bytes behind any other are its body, whatever it says of Upgrade. The money for
the first minute and the first bytes of the tunnel is held before the upstream hears of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._http import FRAMING_NONE
from ..refusals import Refusal
from .exchange import Exchange
from .stages import STREAMING
from .tunnel import AHEAD, Tunnel, price_of_bytes

if TYPE_CHECKING:
    from .._call import Ticket
    from .._http import RequestHead
    from .ends import ClientEnd
    from .plane import Plane
    from .service import Service

SWITCHING_PROTOCOLS = 101


def asked_protocols(head: RequestHead, service: Service) -> bytes:
    """Those that the client names and the route allows, as the client names them; b"" for none."""
    listed = b",".join([value for name, value in head.fields if name.lower() == b"upgrade"])
    names = [name.strip(b" \t") for name in listed.split(b",")]
    return b", ".join([name for name in names if name.lower() in service.upgrades])


def open_upgrade(plane: Plane, client: ClientEnd, service: Service, protocols: bytes) -> Upgrade:
    """What becomes of the request that the gate has just admitted."""
    return Upgrade(plane, client, plane.gate.ticket(), service, protocols)


class Upgrade(Exchange):
    """A call that asks for one of `protocols`."""

    def __init__(self, plane: Plane, client: ClientEnd, ticket: Ticket, service: Service, protocols: bytes) -> None:
        super().__init__(plane, client, ticket, service)
        self.protocols = protocols
        self.price = ticket.held_nanos  # of the connection; the hold grows from there
        self.last_tick = 0  # when it must be over, tunnel or not; 0: never
        if self.bounds.total_ms:
            self.last_tick = plane.wheel.tick + self.bounds.total_ms // plane.wheel.tick_ms + 1
        self.tunnel: Tunnel | None = None

    def start(self, data: bytes, end: int) -> int:
        service = self.service
        nanos = service.minute_price + (price_of_bytes(AHEAD, service.mib_price) if service.mib_price else 0)
        verdict = self.gate.extend(self.ticket, nanos) if nanos else 0
        if verdict:
            self.bytes_in = self.gate.head.length
            self.gate.count(0, 0, 1)
            self.unserved(verdict)
            return end
        return Exchange.start(self, data, end)

    def _head(self, end: int, stop: int) -> bytes:
        lines = b"Connection: Upgrade\r\nUpgrade: %b\r\n\r\n" % self.protocols
        return Exchange._head(self, end, stop)[:-2] + lines

    def _switch(self, cost: int, rest: bytes) -> None:
        """A tunnel, if it is to what was asked for; `rest` is its first bytes."""
        answer = self.plane.answer
        named = [value for name, value in answer.fields if name.lower() == b"upgrade"]
        if len(named) != 1 or named[0].lower() not in self.protocols.lower().split(b", "):
            self.unserved(Refusal.UPSTREAM_FAILED)
            return
        self.cost = cost
        self.stage = STREAMING
        self.status = SWITCHING_PROTOCOLS
        self.pool.answered(SWITCHING_PROTOCOLS, self.gate.answered(self.ticket) - self.sent_us)
        lines = self.gate.answer_lines(self.ticket, False, True)
        lines += b"Connection: Upgrade\r\nUpgrade: %b\r\n" % named[0]
        head = answer.render(lines, FRAMING_NONE, 0, 0)
        self.bytes_out += len(head)
        self.tunnel = Tunnel(self, named[0].lower() == b"websocket")
        self.tunnel.open(head, rest)

    def upstream_late(self) -> None:
        """Also when the worker must end: its time is up."""
        if self.tunnel is None:
            Exchange.upstream_late(self)
        else:
            self.tunnel.drain()

    def earned(self, cost: int, bytes_in: int, bytes_out: int) -> None:
        """The tunnel has carried so much so far, which costs `cost` nanos beside the connection."""
        self.gate.earn(
            self.ticket, SWITCHING_PROTOCOLS, self._price() + cost, self.bytes_in + bytes_in,
            self.bytes_out + bytes_out, self.pool.number,
        )  # fmt: skip

    def over(self, verdict: int, cost: int, bytes_in: int, bytes_out: int) -> None:
        """The tunnel has carried so much, which costs `cost` nanos beside the connection."""
        self.bytes_in += bytes_in
        self.bytes_out += bytes_out
        self.cost = self._price() + cost
        self._end(verdict, SWITCHING_PROTOCOLS, True)

    def leave(self) -> None:
        """Both connections are closed."""
        self._leave_upstream(False)

    def _end(self, verdict: int, status: int, charge: bool) -> None:
        if self.tunnel is None:
            self.cost = self._price()  # what else is held was for a tunnel
        Exchange._end(self, verdict, status, charge)

    def _price(self) -> int:
        """What the connection costs: what the upstream has named, at most the price."""
        return self.cost if 0 <= self.cost < self.price else self.price

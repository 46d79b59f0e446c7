"""Decides what passes through a tunnel: every byte of either side as it comes, while the tunnel is paid for.

What is said here of time is in ticks of the wheel. Each side waits for the other: one that cannot take more stops the
reading of its opposite. An end is passed on as an end, a reset as a reset. Money is held ahead, by the minute and by
AHEAD bytes, before what it pays for; where there is none, or the key may not be used any more, the tunnel is closed.
As it goes on it is noted what the tunnel has come to cost, which is charged if the worker is killed.
Where the gateway closes a WebSocket, it says so by a frame, if it can be put between two of those that pass.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING, Any

from .._frames import Frames
from ..refusals import TABLE, Refusal
from .deadlines import Timed
from .ends import ClientEnd, End, UpstreamEnd

if TYPE_CHECKING:
    from .upgrade import Upgrade

MIB = 1 << 20
AHEAD = 65536  # bytes that are held for before they come
NOTED = 4096  # bytes that are carried between two notes of what they cost
MINUTE_MS = 60_000
LINGER_MS = 2000  # to let both sides read that it is over before the connections close under them
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time
# Status codes of a WebSocket's Close (RFC 6455 §7.4.1, and IANA's registry for the last)
GOING_AWAY = 1001
POLICY_VIOLATION = 1008
TRY_AGAIN_LATER = 1013


def price_of_bytes(count: int, mib_price: int) -> int:
    """Nanos for so many bytes; a fraction of one counts as one. (No word of 64 bits would hold the product.)"""
    return -(-count * mib_price // MIB)


def close_frame(code: int, reason: bytes, masked: bool) -> bytes:
    """A Close of a WebSocket, with a reason of at most 123 bytes; masked by clients alone (RFC 6455 §5.3)."""
    payload = code.to_bytes(2, "big") + reason
    if not masked:
        return bytes((0x88, len(payload))) + payload
    mask = os.urandom(4)
    return bytes((0x88, 0x80 | len(payload))) + mask + bytes([byte ^ mask[i & 3] for i, byte in enumerate(payload)])


class TunnelEnd(End):
    """One side (asyncio.Protocol), in the place of `former`, which hears only that the connection is lost."""

    def __init__(self, tunnel: Tunnel, former: Any, websocket: bool) -> None:
        super().__init__()
        self.tunnel = tunnel
        self.former = former
        self.transport = former.transport
        self.descriptor = former.descriptor
        self.writable = former.writable
        self.secured = former.secured
        self.other = self
        self.frames = Frames() if websocket else None  # of what comes from this side
        self.received = 0
        self.held = False  # it is not read from
        self.ended = False  # it sends no more
        self.shut = False  # it is sent no more
        self.gone = False
        self.since = 0  # while it is not writable: from when on
        self.waiting = 0  # bytes, then

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        tunnel = self.tunnel
        if tunnel.closing or (tunnel.metered and not tunnel.pay(len(data))):
            return
        self.received += len(data)
        tunnel.moved = tunnel.wheel.tick
        if self.frames is not None:
            self.frames.feed(data)
        self.other.send(data)
        if tunnel.metered:
            tunnel.carried()

    def eof_received(self) -> bool:
        self.ended = True
        return not self.tunnel.closing and self.tunnel.half_closed(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.descriptor = -1
        self.gone = True
        self.tunnel.lost(self)
        self.former.connection_lost(error)
        self.tunnel.leave()

    def pause_writing(self) -> None:
        self.writable = False
        self.since = self.tunnel.wheel.tick
        self.waiting = self.transport.get_write_buffer_size()
        if not self.tunnel.closing:
            self.other.hold(True)
            self.tunnel.watch()

    def resume_writing(self) -> None:
        self.writable = True
        if not self.tunnel.closing:
            self.other.hold(False)
            if self.tunnel.metered:
                self.tunnel.carried()

    # What is done to it

    def unsendable(self) -> None:
        self.descriptor = -1  # something may have come before the end; reading will tell
        if self.ended:
            self.transport.abort()

    def hold(self, held: bool) -> None:
        """Stop, or go on, reading."""
        if held != self.held and not self.ended and not self.transport.is_closing():
            self.held = held
            if held:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()

    def shut_down(self) -> bool:
        """Say that no more comes, behind what is still to be written; false where a connection ends only as a whole."""
        if not self.shut and not self.transport.is_closing():
            if not self.transport.can_write_eof():
                return False
            self.shut = True
            self.transport.write_eof()
        return True

    def say_goodbye(self, code: int, reason: bytes, masked: bool) -> None:
        """Close, with a frame if there is room for one, and read on for a while: unread bytes would make a reset."""
        if self.gone:
            return
        if self.frames is not None and self.other.frames is not None and self.other.frames.between():
            self.send(close_frame(code, reason, masked))
        if self.ended or not self.shut_down():
            self.transport.close()
        else:
            self.hold(False)

    def cut(self) -> None:
        """Close so that it is seen to be cut."""
        if not self.gone:
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.transport.abort()

    def is_stuck(self, ticks: int) -> bool:
        """Whether it has taken nothing for so long of what waits for it."""
        if self.writable or self.tunnel.wheel.tick - self.since < ticks:
            return False
        before, self.waiting = self.waiting, self.transport.get_write_buffer_size()
        self.since = self.tunnel.wheel.tick
        return self.waiting >= before


class Tunnel(Timed):
    """The two connections of a call that was upgraded, from the head of the 101 to the end of both."""

    def __init__(self, upgrade: Upgrade, websocket: bool) -> None:
        super().__init__()
        service, bounds, wheel = upgrade.service, upgrade.bounds, upgrade.plane.wheel
        self.upgrade = upgrade
        self.gate = upgrade.gate
        self.ticket = upgrade.ticket
        self.wheel = wheel
        self.closing = False
        self.opened = wheel.tick
        self.moved = wheel.tick  # when something came last
        self.idle_ticks = bounds.tunnel_idle_ms // wheel.tick_ms
        self.write_ticks = bounds.write_ms // wheel.tick_ms
        self.last_tick = upgrade.last_tick
        # Money: what is held is for `minutes` and for `paid` bytes.
        self.minute_ticks = MINUTE_MS // wheel.tick_ms
        self.minute_price = service.minute_price
        self.minutes = 1
        self.mib_price = service.mib_price
        self.metered = service.mib_price > 0
        self.paid = AHEAD
        self.noted = 0  # bytes
        self.held = price_of_bytes(AHEAD, service.mib_price)
        self.client = TunnelEnd(self, upgrade.client, websocket)
        self.upstream = TunnelEnd(self, upgrade.upstream, websocket)
        self.client.other = self.upstream
        self.upstream.other = self.client

    def open(self, head: bytes, rest: bytes) -> None:
        """Take both connections over; `head` is the client's, and `rest` what the upstream has sent behind it."""
        client: ClientEnd = self.client.former
        upstream: UpstreamEnd = self.upstream.former
        self.gate.count_tunnels(1)
        ahead = client.hand_over(self.client)
        upstream.hold_input(False)
        upstream.deadline = 0
        upstream.transport.set_protocol(self.upstream)
        for end in (self.client, self.upstream):
            end.other.hold(not end.writable)
        self.watch()
        self.client.send(head)
        self._earn()
        if rest:
            self.upstream.data_received(rest)
        if ahead:
            self.client.data_received(ahead)
        if client.half_closed and not self.closing:
            self.client.ended = True
            if not self.half_closed(self.client):
                self.client.transport.close()

    # The end, from either side

    def half_closed(self, end: TunnelEnd) -> bool:
        """One side sends no more: tell the other. False when that was all, and the connection closes."""
        other = end.other
        self.moved = self.wheel.tick
        if not other.ended and end.transport.can_write_eof() and other.shut_down():
            return True
        self.closing = True
        self._settle(0)
        other.transport.close()  # when all is written
        self.wheel.arm(self, self.write_ticks * self.wheel.tick_ms)
        return False

    def lost(self, end: TunnelEnd) -> None:
        """A connection is gone: as it should be, or it was reset."""
        if not self.closing:
            gone = Refusal.CLIENT_GONE if end is self.client else Refusal.UPSTREAM_FAILED
            self._cut(0 if end.other.ended else gone)

    def leave(self) -> None:
        """Whoever lent the connections may know, once both are gone."""
        if self.client.gone and self.upstream.gone:
            self.deadline = 0
            self.upgrade.leave()

    def _cut(self, verdict: int) -> None:
        self.closing = True
        self._settle(verdict)
        self.client.cut()
        self.upstream.cut()

    # The end, from here

    def drain(self) -> None:
        """The worker ends."""
        self._close(0, GOING_AWAY, b"")

    def _close(self, verdict: int, code: int, reason: bytes) -> None:
        if self.closing:
            return
        self.closing = True
        self._settle(verdict)
        self.wheel.arm(self, LINGER_MS)
        self.client.say_goodbye(code, reason, False)
        self.upstream.say_goodbye(code, reason, True)

    def _refuse(self, verdict: int) -> None:
        refusal = Refusal(verdict)
        code = TRY_AGAIN_LATER if TABLE[refusal].retryable else POLICY_VIOLATION
        self._close(verdict, code, refusal.name.lower().encode())

    def _settle(self, verdict: int) -> None:
        """It is charged before anybody hears that it is over."""
        self.gate.count_tunnels(-1)
        self.upgrade.over(verdict, self._cost(), self.client.received, self.upstream.received)

    # Money and time

    def _cost(self) -> Any:
        """What minutes and bytes cost by now."""
        begun = -(-(self.wheel.tick - self.opened) // self.minute_ticks)
        cost = self.minute_price * max(1, min(begun, self.minutes))
        if self.metered:
            cost += price_of_bytes(self.client.received + self.upstream.received, self.mib_price)
        return cost

    def carried(self) -> None:
        """Note what bytes cost, from time to time."""
        if self.client.received + self.upstream.received >= self.noted + NOTED:
            self._earn()

    def _earn(self) -> None:
        """Note what it would be charged if it ended now; while all that has come is out of this process's hands."""
        if not self.closing and self.client.writable and self.upstream.writable:
            self.noted = self.client.received + self.upstream.received
            self.upgrade.earned(self._cost(), self.client.received, self.upstream.received)

    def pay(self, count: int) -> bool:
        """Hold for so many bytes that have come, and some ahead where there is money for them; else it is over."""
        total = self.client.received + self.upstream.received + count
        if total <= self.paid:
            return True
        verdict = 0
        for paid in (total + AHEAD, total):
            more = price_of_bytes(paid, self.mib_price) - self.held
            verdict = self.gate.extend(self.ticket, more)
            if verdict == 0:
                self.paid = paid
                self.held += more
                return True
        self._refuse(verdict)
        return False

    def watch(self) -> None:
        """Look again when the first of all that has its time may be due."""
        begins = self.opened + (self.minutes - 1) * self.minute_ticks + 1  # the last minute that is held for
        tick = begins if self.wheel.tick < begins and self.minutes > 1 else begins + self.minute_ticks - 2
        if self.last_tick:
            tick = min(tick, self.last_tick)
        if self.idle_ticks:
            tick = min(tick, self.moved + self.idle_ticks)
        for end in (self.client, self.upstream):
            if not end.writable:
                tick = min(tick, end.since + self.write_ticks)
        self.wheel.arm(self, max(tick - self.wheel.tick - 1, 0) * self.wheel.tick_ms)

    def on_deadline(self) -> None:
        tick = self.wheel.tick
        if self.closing:
            self.client.cut()
            self.upstream.cut()
        elif self.last_tick and tick >= self.last_tick:
            self._close(Refusal.UPSTREAM_TIMEOUT, GOING_AWAY, b"total_timeout")
        elif self.client.is_stuck(self.write_ticks):
            self._cut(Refusal.CLIENT_GONE)
        elif self.upstream.is_stuck(self.write_ticks):
            self._cut(Refusal.UPSTREAM_TIMEOUT)
        elif self._is_idle():
            self._close(0, GOING_AWAY, b"tunnel_idle_timeout")
        else:
            self._hold_minute()
            self._earn()
            if not self.closing:
                self.watch()

    def _is_idle(self) -> bool:
        if self.idle_ticks == 0 or self.wheel.tick - self.moved < self.idle_ticks:
            return False
        if self.client.writable and self.upstream.writable:
            return True
        self.moved = self.wheel.tick  # it waits for one that is slow: that has a time of its own
        return False

    def _hold_minute(self) -> None:
        """Once a minute, before the next one begins: its price, and whether the key may still be used."""
        if self.wheel.tick >= self.opened + self.minutes * self.minute_ticks - 1:
            verdict = self.gate.extend(self.ticket, self.minute_price)
            if verdict:
                self._refuse(verdict)
            else:
                self.minutes += 1

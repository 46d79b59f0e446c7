"""Decides where an admitted call is sent, and what of it: at first, when that fails, and as more of its body comes.

A call is sent to an endpoint of its upstream as soon as there is room for it. What has never been sent goes to another
endpoint when there is no way to the first; what has been is repeated only if that is harmless, all of it is still here,
and nothing of an answer has been passed on. So a request that is not idempotent reaches an upstream once at most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._http import FRAMING_NONE, ChunkedBody
from ..refusals import Refusal
from .ends import NOBODY
from .stages import ENDED, WAITING

if TYPE_CHECKING:
    from .._call import Ticket
    from .ends import ClientEnd, Group, Lender, UpstreamEnd
    from .plane import Plane
    from .service import Service

PENDING_MAX = 65536

FOREVER_MS = 1 << 40


class Sending:
    """One call, as far as its request goes. `request_open` while bytes of the request's body are still to come.

    What is kept of its answer is here too: an `Exchange` adds nothing to it but what it does.
    """

    def __init__(self, plane: Plane, client: ClientEnd, ticket: Ticket, service: Service) -> None:
        self._open(plane, client, ticket, service)

    def _open(self, plane: Plane, client: ClientEnd, ticket: Ticket, service: Service) -> None:
        """What all kinds of calls begin with: a kind that has more of it begins with its base's."""
        self.plane = plane
        self.gate = plane.gate
        self.client = client
        self.ticket = ticket
        self.bounds = plane.bounds
        self.service = service
        head, wheel, bounds = self.gate.head, self.plane.wheel, self.bounds
        self.group: Group = self.service.upstream
        self.pool = NOBODY  # whom it goes to; whose Host is in `first`
        self.placed = False  # there, and counted there
        self.waits = False  # for room at one of the group
        self.waited = False  # it was not sent at once
        self.affinity = 0  # what calls that belong together have in common
        self.tries = 0  # beside the first
        self.tried: list[Lender] | None = None
        self.renewed = False  # it was sent on a kept-alive connection that had ended
        self.upstream: UpstreamEnd | None = None
        self.stage = WAITING
        # when the call must be over, and from when on it holds money for too long; 0: never
        self.hold_tick = wheel.tick + bounds.hold_ms // wheel.tick_ms + 1 if self.service.priced else 0
        self.end_tick = self.hold_tick
        if bounds.total_ms and (self.hold_tick == 0 or bounds.total_ms < bounds.hold_ms):
            self.end_tick = wheel.tick + bounds.total_ms // wheel.tick_ms + 1
        self.sent = False
        self.sent_us = 0  # since it began, where it was not sent at once
        self.cost = -1  # nanos, as the upstream has named it
        # the request
        self.repeatable = head.idempotent  # and all of it that has been sent is still in `first`
        self.named = not (self.service.preserve_host and head.host())  # its Host is the endpoint's
        self.keep_client = head.keep_alive
        self.request_open = False
        self.request_left = 0
        self.request_chunks: ChunkedBody | None = None
        self.reframes = True  # parts of a chunked body are framed anew, not bare
        self.first = b""
        self.pending: list[bytes] | None = None
        self.pending_size = 0
        self.bytes_in = 0
        # the answer
        self.partial = b""
        self.status = 0
        self.framing = FRAMING_NONE
        self.left = 0
        self.chunks: ChunkedBody | None = None
        self.reusable = False
        self.bytes_out = 0

    # The request

    def start(self, data: bytes, end: int) -> int:
        """Send the head just scanned and what has come of its body, `data[end:]`; the offset of what is not ours."""
        head = self.gate.head
        stop = end
        chunked = head.chunked
        if head.content_length > 0:
            stop = min(len(data), end + head.content_length)
            self.request_left = head.content_length - (stop - end)
            self.request_open = self.request_left > 0
        self.bytes_in = head.length + stop - end
        self.gate.count(0, 0, 1)
        self._choose()
        self.first = self._head(end, stop)
        if chunked:
            self.request_chunks = ChunkedBody()
            self.request_open = True
            if stop < len(data):
                self.first += self.request_chunks.feed(data, stop, True)
                stop += self.request_chunks.taken
                self.bytes_in += self.request_chunks.taken
                if not self._chunks_fine():
                    return stop
        self._take(False)
        return stop

    def _head(self, end: int, stop: int) -> bytes:
        """What the upstream is sent first: a head, and what has come of the body between the two offsets."""
        return self.gate.request(self.ticket, self.client.peer, self.pool.host_line, end, stop)

    def _choose(self) -> None:
        self.pool = self.group.choose(self)

    def _take(self, fresh: bool) -> None:
        self.group.place(self, self.pool, fresh)

    def assign(self, pool: Lender) -> None:
        """There is room for it there: `connected` or `unreached` follows."""
        if pool is not self.pool:
            if self.named and pool.host_line != self.pool.host_line:
                at = self.first.find(b"\n") + 1
                if self.first.startswith(self.pool.host_line, at):
                    rest = at + len(self.pool.host_line)
                    self.first = self.first[:at] + pool.host_line + self.first[rest:]
            self.pool = pool
        self.placed = True

    def connected(self, upstream: UpstreamEnd) -> None:
        """There is a connection to write to."""
        if self.stage == ENDED:
            upstream.give_back(True)
            return
        self.upstream = upstream
        if self.waited:
            self.sent_us = self.ticket.elapsed_us()
        if self.pending is not None:
            self.first = b"".join((self.first, *self.pending))
            self.pending = None
            self.pending_size = 0
            self.client.hold_input(False)
        upstream.send(self.first)
        if upstream.descriptor < 0:
            self._unsent(upstream)
            return
        self.sent = True
        if not self.repeatable:
            self.first = b""
        if self.request_open:
            self._await_client()
        else:
            self._await(self.bounds.first_byte_ms)

    def _unsent(self, upstream: UpstreamEnd) -> None:
        """The connection had ended before anything was written to it: whatever the method, it is not sent twice."""
        reused = upstream.reused
        self.upstream = None
        upstream.give_back(False)
        if reused:
            self._renew()
        else:
            self.pool.failed()
            self.unreached(Refusal.UPSTREAM_UNREACHABLE)

    def _renew(self) -> None:
        """Go on at the same endpoint with a connection that has served nobody."""
        self.renewed = self.waited = True
        if not self.pool.renew(self):
            self._leave_upstream(False)
            self._take(True)

    def unreached(self, refusal: int) -> None:
        """No connection could be made for it: of this try nothing has been sent."""
        if self.stage == ENDED:
            return
        self._leave_upstream(False)
        if self.group.may_go_elsewhere(self):
            self._take_again()
        else:
            self.refused(refusal)

    def _repeats(self, cause: int) -> bool:
        """Whether the call, which may have been served, is made once more because of that."""
        if not self.repeatable or self.request_open or self.bytes_out:
            return False
        if not self.group.may_repeat(self, cause):
            return False
        self.partial = b""
        self._leave_upstream(False)
        self._take_again()
        return True

    def note_try(self) -> None:
        """It is about to be made once more, and not where it was."""
        self.tries += 1
        self.waited = True
        if self.tried is None:
            self.tried = []
        self.tried.append(self.pool)

    def _take_again(self) -> None:
        self.group.place(self, self.group.choose(self), False)

    def refused(self, refusal: int) -> None:
        """Nobody takes it. That nothing was sent can be said only if no try before was."""
        self.unserved(Refusal.UPSTREAM_FAILED if self.sent else refusal)

    def request_data(self, data: bytes) -> int:
        """More of the request's body; how many bytes of `data` belong to it."""
        taken = len(data)
        if self.request_chunks is not None:
            part = self.request_chunks.feed(data, 0, self.reframes)
            taken = self.request_chunks.taken
            self.bytes_in += taken
            if not self._chunks_fine():
                return taken
        else:
            taken = min(taken, self.request_left)
            part = data if taken == len(data) else data[:taken]
            self.request_left -= taken
            self.request_open = self.request_left > 0
            self.bytes_in += taken
        self._request_part(part)
        return taken

    def _request_part(self, part: bytes) -> None:
        """Send a part of the body, or keep it until there is a connection to write to."""
        if self.upstream is None:
            if self.pending is None:
                self.pending = []
            self.pending.append(part)
            self.pending_size += len(part)
            if self.pending_size > PENDING_MAX:
                self.client.hold_input(True)
        elif part:
            self.repeatable = False
            self.first = b""
            self.upstream.send(part)
        if not self.request_open and self.upstream is not None and self.stage == WAITING:
            self._await(self.bounds.first_byte_ms)

    def _chunks_fine(self) -> bool:
        """Take in how the chunked body stands; false when that ended the exchange."""
        chunks = self.request_chunks
        assert chunks is not None
        self.request_open = not chunks.done
        if chunks.broken:
            self.unserved(Refusal.BAD_REQUEST)
        elif self.bounds.body_max and chunks.payload > self.bounds.body_max:
            self.request_open = True
            self.unserved(Refusal.BODY_TOO_LARGE)
        return self.stage != ENDED

    def _await(self, within_ms: int) -> None:
        """The upstream must be heard of within that time, and within what is left of the call's."""
        if self.upstream is not None:
            self.upstream.expect(self.within(within_ms))

    def _await_client(self) -> None:
        """While the client must move, the upstream owes nothing; only the call as a whole may take too long."""
        if self.end_tick:
            self._await(FOREVER_MS)
        elif self.upstream is not None:
            self.upstream.deadline = 0

    def within(self, within_ms: int) -> int:
        """That many milliseconds, or those that are left of the call's own time."""
        if self.end_tick:
            return min(within_ms, max(0, self.end_tick - self.plane.wheel.tick) * self.plane.wheel.tick_ms)
        return within_ms

    def request_input(self, held: bool) -> None:
        """The upstream cannot take more of the request now, or can again."""
        if not self.request_open:
            return
        self.client.hold_input(held)
        if held:
            self._await(self.bounds.first_byte_ms)  # it must take more within that time
        elif self.stage == WAITING:
            self._await_client()

    def _leave_upstream(self, reusable: bool) -> None:
        upstream = self.upstream
        if upstream is not None:
            self.upstream = None
            upstream.give_back(reusable)
        if self.placed:
            self.placed = False
            self.pool.left()
        elif self.waits:
            self.group.withdraw(self)

    # What an exchange does

    def unserved(self, refusal: int) -> None:
        """Answer in the upstream's place, or cut the answer that has begun."""
        raise NotImplementedError

"""Decides how one admitted call goes on: what is sent back, when it fails, and what it costs in the end.

An exchange lies between its client's connection and an upstream's. Each side's bytes are passed on as they come, framed
for the other side; a side that cannot keep up makes the other wait. It ends exactly once; then its ticket is settled:
captured or void by the route's rule, at the cost that the upstream names where the route lets it.
"""

from __future__ import annotations

from .._http import (
    FRAMING_CHUNKED,
    FRAMING_CLOSE,
    FRAMING_LENGTH,
    FRAMING_NONE,
    ChunkedBody,
    chunk,
    find_head_end,
)
from ..refusals import Refusal
from .odd_heads import plain_response
from .retries import RESET, TIMEOUT
from .sending import Sending
from .stages import ENDED, STREAMING, WAITING

ANSWER_HEAD_MAX = 65536
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Exchange(Sending):
    """One call, from its client's connection to an endpoint's and back."""

    # The answer

    def answer_data(self, data: bytes) -> None:
        """Bytes from the upstream."""
        if self.stage == STREAMING:
            self._stream(data)
            return
        if self.partial:
            data = self.partial + data
            self.partial = b""
        position = 0
        while self.stage == WAITING:
            end = find_head_end(data, position)
            if end < 0:
                if len(data) - position > ANSWER_HEAD_MAX or (position < len(data) and data[position] != 72):  # "H"
                    self.unserved(Refusal.UPSTREAM_FAILED)
                else:
                    self.partial = data[position:]
                return
            position = self._answer_head(data, position, end)
            if position == len(data) and self.stage == WAITING:
                return

    def _answer_head(self, data: bytes, start: int, end: int) -> int:
        """Take in the head `data[start:end]`, and its body if it is the final one; the offset after it."""
        answer = self.plane.answer
        after = end
        if answer.scan(data, start, end) != 0:
            plain = plain_response(data[start:end])
            if plain is not None:
                data = plain + data[end:]
                end = len(plain)
            if plain is None or answer.scan(data, 0, end) != 0:
                self.unserved(Refusal.UPSTREAM_FAILED)
                return after
        status = answer.status
        cost = answer.take_cost(self.service.cost_field, self.service.unit_price) if self.service.cost_field else -1
        if status < 200:
            if status == 101:
                self._switch(cost, data[end:])
            elif status > 101 and self.ticket.minor == 1:
                self._interim()
            return after
        return self._final_head(data, end, status, cost)

    def _interim(self) -> None:
        """An answer that is not the last has come."""
        self._send(self.plane.answer.render(b"", FRAMING_NONE, 0, 0))

    def _final_head(self, data: bytes, end: int, status: int, cost: int) -> int:
        """Pass on the head just scanned, and `data[end:]` of its body; the offset after it."""
        answer = self.plane.answer
        if 502 <= status <= 504 and self._repeats_answered(status):
            return len(data)
        self.cost = cost
        lines = self._begin_answer(status)
        if self.framing == FRAMING_LENGTH or self.framing == FRAMING_NONE:
            stop = min(len(data), end + self.left)
            self.left -= stop - end
            if stop < len(data):
                self.reusable = False
            self._pass_on(answer.render(lines, self.framing, end, stop), self.left == 0)
            return len(data)
        out = answer.render(lines, self.framing, 0, 0)
        if end < len(data):
            part, done = self._body_part(data, end)
            if self.stage == ENDED:
                return len(data)
            self._pass_on(out + part, done)
        else:
            self._pass_on(out, False)
        return len(data)

    def _repeats_answered(self, status: int) -> bool:
        """Whether the call is made once more instead of passing this answer on."""
        pool = self.pool
        us = self.ticket.elapsed_us() - self.sent_us
        if not self._repeats(status):
            return False
        pool.answered(status, us)
        return True

    def _switch(self, cost: int, rest: bytes) -> None:  # noqa: ARG002
        """The upstream goes over to another protocol, though nobody has asked it to."""
        self.unserved(Refusal.UPSTREAM_FAILED)

    def _begin_answer(self, status: int) -> bytes:
        """The final head is there: what it means for the call, and the lines to add to it."""
        answer = self.plane.answer
        self.stage = STREAMING
        self.status = status
        self.pool.answered(status, self.gate.answered(self.ticket) - self.sent_us)
        self._frame(status)
        keep = self.keep_client and not self.request_open and not self.plane.parting
        if self.framing == FRAMING_CLOSE:
            keep = False
        self.keep_client = keep
        return self.gate.answer_lines(self.ticket, not keep, answer.dated)

    def _frame(self, status: int) -> None:
        """How the body of this answer is framed, for the upstream and for the client (RFC 9112 §6.3)."""
        answer = self.plane.answer
        self.reusable = answer.keep_alive
        if answer.idle_s >= 0 and self.upstream is not None:
            self.upstream.idle_ms = max(0, answer.idle_s - 1) * 1000  # it must not end as the next request is sent
        if self.ticket.head_method or status == 204 or status == 304:
            self.framing = FRAMING_NONE
            return
        if answer.chunked:
            self.chunks = ChunkedBody()
        elif answer.content_length >= 0:
            self.framing = FRAMING_LENGTH
            self.left = answer.content_length
            return
        else:
            self.reusable = False
        self.framing = FRAMING_CHUNKED if self.ticket.minor == 1 else FRAMING_CLOSE

    def _stream(self, data: bytes) -> None:
        if self.framing == FRAMING_LENGTH:
            if len(data) > self.left:
                data = data[: self.left]
                self.reusable = False
            self.left -= len(data)
            self._pass_on(data, self.left == 0)
            return
        part, done = self._body_part(data, 0)
        if self.stage == ENDED:
            return
        self._pass_on(part, done)

    def _body_part(self, data: bytes, start: int) -> tuple[bytes, bool]:
        """What the client gets for `data[start:]`, and whether the body ends there."""
        reframe = self.framing == FRAMING_CHUNKED
        if self.chunks is None:
            return (chunk(data, start, len(data), False) if reframe else data[start:]), False
        part = self.chunks.feed(data, start, reframe)
        if self.chunks.broken:
            self._cut(Refusal.UPSTREAM_FAILED, False)
            return b"", True
        if self.chunks.done and start + self.chunks.taken < len(data):
            self.reusable = False
        return part, self.chunks.done

    def _send(self, data: bytes) -> None:
        self.bytes_out += len(data)
        self.client.send(data)

    def _pass_on(self, data: bytes, done: bool) -> None:
        """Send a part of the answer; it was the last one, or more of it must come in time."""
        if done:
            self._complete(data)
            return
        if data:
            self._send(data)
        if self.stage == ENDED:
            return  # the client went away while it was written to
        if self.upstream is not None and not self.upstream.held:  # else it is the client that must move
            self._await(self.bounds.stream_ms)

    def answer_ended(self) -> None:
        """The upstream has closed its side: that is the end of a body without a length, or a failure."""
        if self.stage == STREAMING and self.chunks is None and self.framing in (FRAMING_CHUNKED, FRAMING_CLOSE):
            self._complete(b"0\r\n\r\n" if self.framing == FRAMING_CHUNKED else b"")
        else:
            self.upstream_lost()

    def upstream_lost(self) -> None:
        """The connection to the upstream is gone."""
        upstream = self.upstream
        if self.stage == ENDED or upstream is None:
            return
        if self.stage == STREAMING:
            self._cut(Refusal.UPSTREAM_FAILED, False)
        elif upstream.reused and not self.renewed and self.repeatable and not self.request_open and not self.partial:
            # A kept-alive connection that was closed as we wrote: nothing was answered, and repeating is harmless.
            self.upstream = None
            upstream.give_back(False)
            self._renew()
        else:
            if not upstream.reused:  # else it may have been just idle for too long
                self.pool.failed()
            if not self._repeats(RESET):
                self.unserved(Refusal.UPSTREAM_FAILED)

    def upstream_late(self) -> None:
        """The upstream has been silent for too long, or the call has taken too long altogether."""
        overdue = self.hold_tick > 0 and self.plane.wheel.tick >= self.hold_tick
        if overdue and not self.plane.draining and self.ticket.held_nanos == 0:
            self._go_on()
        elif self.stage == STREAMING:
            # Who takes an answer slowly is not let off for it: it is charged as if the client had gone.
            patient = overdue or (self.upstream is not None and self.upstream.held and not self.plane.draining)
            self._cut(Refusal.UPSTREAM_TIMEOUT, patient and self.service.charges(self.status))
        elif self.stage == WAITING:
            if self.upstream is not None and not self._is_over():
                self.pool.failed()
                if self._repeats(TIMEOUT):
                    return
            self.unserved(Refusal.REQUEST_TIMEOUT if overdue and self.request_open else Refusal.UPSTREAM_TIMEOUT)

    def _is_over(self) -> bool:
        """Whether it is the call that takes too long, and not a step of it."""
        return self.plane.draining or (self.end_tick > 0 and self.plane.wheel.tick >= self.end_tick)

    def _go_on(self) -> None:
        """A call that holds no money may take longer than one that does."""
        total_ms = self.bounds.total_ms
        self.end_tick = self.hold_tick + (total_ms - self.bounds.hold_ms) // self.plane.wheel.tick_ms if total_ms else 0
        self.hold_tick = 0
        if self.request_open or (self.upstream is not None and self.upstream.held):
            self._await_client()
        else:
            self._await(self.bounds.stream_ms if self.stage == STREAMING else self.bounds.first_byte_ms)

    # Backpressure

    def answer_input(self, held: bool) -> None:
        """The client cannot take more of the answer now, or can again."""
        if self.upstream is None or self.stage == ENDED:
            return
        self.upstream.hold_input(held)
        if held:
            self._await_client()
        else:
            self._await(self.bounds.stream_ms if self.stage == STREAMING else self.bounds.first_byte_ms)

    def probe(self) -> bytes:
        """What may be sent just to learn whether the client is there: an interim answer is harmless to one that waits
        (RFC 9110 §15.2), and not known to HTTP/1.0."""
        return CONTINUE if self.status == 0 and self.ticket.minor == 1 else b""

    # The end

    def _end(self, verdict: int, status: int, charge: bool) -> None:
        self.stage = ENDED
        charge = charge or (self.sent and self.service.always)
        self.gate.settle(
            self.ticket, verdict, status, charge, self.cost, self.bytes_in, self.bytes_out, self.pool.number
        )
        self.gate.count(0, 0, -1)

    def _complete(self, last: bytes) -> None:
        """Both sides have all they are going to get, once `last` is sent.

        It is charged before: a client that has its answer whole has paid for it, whatever is killed in between.
        """
        self.bytes_out += len(last)
        self._end(0, self.status, self.service.charges(self.status))
        if last:
            self.client.send(last)
        self._leave_upstream(self.reusable and not self.request_open)
        self.client.finished(self.keep_client and not self.request_open)

    def unserved(self, refusal: int) -> None:
        """Answer in the upstream's place, or cut the answer that has begun. It is not charged, unless all that is sent
        is."""
        if self.stage == ENDED:
            return
        if self.stage == STREAMING:
            self._cut(refusal, False)
            return
        keep = self.keep_client and not self.request_open and not self.plane.parting
        out = self.gate.fail(self.ticket, refusal, not keep)
        self.bytes_out += len(out)
        self._end(refusal, int(out[9:12]), False)
        self._leave_upstream(False)
        self.client.send(out)
        self.client.finished(keep)

    def _cut(self, verdict: int, charge: bool) -> None:
        """The answer cannot be completed: the client must see that."""
        self._end(verdict, self.status, charge)
        self._leave_upstream(False)
        self.client.broken()

    def client_gone(self) -> None:
        """Nobody waits for the answer any more. If it had begun, it counts like a whole one."""
        if self.stage != ENDED:
            self._end(Refusal.CLIENT_GONE, 499, self.stage == STREAMING and self.service.charges(self.status))
            self._leave_upstream(False)

"""Decides what the caller gets of a provider's answer, when it is charged for that, and how it ends when it must.

An answer that is not streamed is taken in whole, bounded, and charged before it is sent. A streamed one is passed on as
it comes, each portion held for before it is sent; it is charged before its last event is. Where the gateway ends it, it
does so in the caller's dialect. Of what a provider says in its head, only what is named here reaches the caller.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from .._http import FRAMING_CHUNKED, FRAMING_CLOSE, FRAMING_LENGTH, FRAMING_NONE, chunk, money, rest
from .._lines import answer, cost_lines, opening
from ..ai import errors
from ..ai.canonical import Failure
from ..refusals import TABLE, Refusal
from .exchange import Exchange
from .intake import Intake
from .providers import CONNECT, FAILED, cause_of
from .stages import ENDED, ERROR, EVENTS, PLAIN, STREAMING, UNREAD, WAITING, WHOLE

if TYPE_CHECKING:
    from .._call import Ticket
    from .._http import ResponseHead
    from .._usage import Usage
    from ..ai.relay import Relay
    from .ends import ClientEnd
    from .metering import Meter
    from .plane import Plane
    from .providers import Choices
    from .service import Service

ANSWER_MAX = 64 << 20
ERROR_MAX = 1 << 20
LAST_MS = 1000  # for the end of a body whose last event has come
COMMENT = b":\n\n"
END = b"0\r\n\r\n"
EVENT_STREAM = b"text/event-stream"
JSON = b"application/json"
EVENTS_OF = (EVENT_STREAM, b"application/vnd.amazon.eventstream")
STATUS_LINES = {status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}


def failure_of(refusal: int) -> Failure:
    """What a refusal is in the middle of a stream."""
    row = TABLE[Refusal(refusal)]
    kind = errors.QUOTA if row.status == HTTPStatus.PAYMENT_REQUIRED else errors.kind_of(row.status)
    return Failure(row.status, kind, row.detail, Refusal(refusal).name.lower())


class Delivery(Intake):
    """A call to a model from when it is sent. `reading` says how the answer of this try is read."""

    def _open(self, plane: Plane, client: ClientEnd, ticket: Ticket, service: Service) -> None:
        Intake._open(self, plane, client, ticket, service)
        self.cost = ticket.holding()  # where nothing else is known: the route's price
        self.dialect = "openai"
        self.streams = False  # it has asked for a stream
        self.relay: Relay
        self.meter: Meter
        self.choices: Choices
        self.reading = UNREAD
        self.said = 0  # the status of the answer
        self.kind = b""  # its media type
        self.retry_ms = b""
        self.retry_after = b""
        self.pause_ms = 0  # for which the provider says that it has nothing more to give
        self.upstream_id = b""  # what the provider calls the call
        self.bounded = False  # its length is known
        self.size = 0  # of what has been taken in of the body
        self.counted = False  # what it costs is known
        self.told = False  # the caller has all but the end of the body's framing

    # What comes from the provider

    def answer_data(self, data: bytes) -> None:
        if self.told:
            self._take_end(data)
        elif self.reading == UNREAD:
            Exchange.answer_data(self, data)
        else:
            self._body(data, 0)

    def _answer_head(self, data: bytes, start: int, end: int) -> int:
        upstream = self.upstream
        after = Exchange._answer_head(self, data, start, end)
        return len(data) if self.reading != UNREAD or self.upstream is not upstream else after

    def _interim(self) -> None:
        """Nothing that the caller should know."""

    def _final_head(self, data: bytes, end: int, status: int, cost: int) -> int:  # noqa: ARG002
        head = self.plane.answer
        self.first = b""
        self.said = status
        self.pool.answered(status, self.gate.answered(self.ticket) - self.sent_us)
        self._frame(status)
        self.bounded = self.framing == FRAMING_LENGTH or self.framing == FRAMING_NONE
        if self.framing == FRAMING_NONE:
            self.left = 0
        self.kind = head.value(b"content-type")
        self.upstream_id = head.value(b"x-request-id") or head.value(b"request-id")
        self._heed(head)
        if status < 200 or status >= 300:
            self.reading = ERROR
            self.retry_ms = head.value(b"retry-after-ms")
            self.retry_after = head.value(b"retry-after")
        elif self.kind == JSON:
            self.reading = WHOLE
        elif self.kind.startswith(EVENTS_OF) or (self.streams and not self.kind.startswith(b"application/json")):
            self.reading = EVENTS
        elif self.bounded and self.left == 0:
            self.reading = WHOLE
        else:
            text = self.kind.startswith((b"application/json", b"text/"))
            self.reading = WHOLE if text else PLAIN
        self._body(data, end)
        return len(data)

    def _body(self, data: bytes, start: int) -> None:
        """Take in `data[start:]` of the answer's body."""
        if self.reading == PLAIN:
            self._pass_plain(data, start)
            return
        done = False
        if self.chunks is not None:
            part = self.chunks.feed(data, start, False)
            if self.chunks.broken:
                self._fail(CONNECT, Refusal.UPSTREAM_FAILED)
                return
            done = self.chunks.done
            if done and start + self.chunks.taken < len(data):
                self.reusable = False
        else:
            part = rest(data, start) if start else data
            if self.bounded:
                if len(part) > self.left:
                    part = part[: self.left]
                    self.reusable = False
                self.left -= len(part)
                done = self.left == 0
        self._take_part(part, done)

    def _take_part(self, part: bytes, done: bool) -> None:
        """A part of the body, bare; it was the last one, or more of it must come in time."""
        if self.reading == EVENTS:
            self._relay(part, done)
            return
        self.size += len(part)
        most = ERROR_MAX if self.reading == ERROR else ANSWER_MAX
        if self.size > most:
            self.reusable = False
            if self.reading == WHOLE:
                self._overflow()
                return
            done = True
        if not done:
            self._keep_part(part)
            self._await(self.bounds.stream_ms)
            return
        body = self._all_parts(part)
        if self.reading == ERROR:
            self._refused(body)
        else:
            self._whole(body)

    def answer_ended(self) -> None:
        if self.told:
            self._finish(False)
        elif self.reading != UNREAD and self.chunks is None and not self.bounded and self.reading != PLAIN:
            self._take_part(b"", True)
        else:
            Exchange.answer_ended(self)

    def upstream_lost(self) -> None:
        if self.told:
            self._finish(False)
        elif self.reading == UNREAD or self.stage == ENDED or self.upstream is None:
            Exchange.upstream_lost(self)
        else:
            self._fail(CONNECT, Refusal.UPSTREAM_FAILED)

    def upstream_late(self) -> None:
        if self.told:
            self._finish(False)
        else:
            Exchange.upstream_late(self)

    # Answers that are not streamed

    def _whole(self, body: bytes) -> None:
        relay = self.relay
        meter = self.meter
        try:
            out = relay.whole(body) if body else b""
        except ValueError:
            self._fail(FAILED, Refusal.UPSTREAM_FAILED)
            return
        self._worked()
        lines = self._count()
        if meter.shrunk:
            lines += b"X-Fastgw-Max-Tokens: %d\r\n" % meter.most
        self._answer(0, self.said, relay.content_type or self.kind, out, lines, True)

    def _overflow(self) -> None:
        """The answer is too large to be taken in. The provider will want to be paid for it."""
        self.relay.relayed = min(self.size // 4, self.meter.most)
        self._count()
        out = self.gate.fail(self.ticket, Refusal.ANSWER_TOO_LARGE, True)
        self.bytes_out += len(out)
        self._end(Refusal.ANSWER_TOO_LARGE, int(out[9:12]), True)
        self._leave_upstream(False)
        self.client.send(out)
        self.client.finished(False)

    def _refused(self, body: bytes) -> None:
        """The provider has answered with an error: another may be asked, or it is the caller's."""
        raise NotImplementedError

    def _worked(self) -> None:
        """The provider serves the call."""
        self.choices.credential.standing.worked()

    def _heed(self, answer: ResponseHead) -> None:
        """Note what the provider says of its own limits."""
        raise NotImplementedError

    def _blame(self, failure: Failure, status: int, for_ms: int) -> None:
        """Note what an error means for the key that the call was made with; 0: no status, no time is said."""
        raise NotImplementedError

    def _answer(self, verdict: int, status: int, kind: bytes, body: bytes, lines: bytes, charge: bool) -> None:
        """Answer with a whole body; that is the end."""
        keep = self.keep_client and not self.request_open and not self.plane.parting
        line = STATUS_LINES.get(status) or b"HTTP/1.1 %d Error\r\n" % status
        out = answer(
            line, kind, lines, self.gate.answer_lines(self.ticket, not keep, False), body, self.ticket.head_method
        )
        self.status = status
        self.bytes_out += len(out)
        self._end(verdict, status, charge)
        self.client.send(out)
        self._leave_upstream(self.reusable)
        self.client.finished(keep)

    def _opening(self, status: int, kind: bytes) -> bytes:
        """The first lines of an answer's head."""
        return opening(STATUS_LINES.get(status) or b"HTTP/1.1 %d Error\r\n" % status, kind)

    # Streams

    def _relay(self, part: bytes, done: bool) -> None:
        relay = self.relay
        meter = self.meter
        try:
            portions = relay.feed(part) if part else []
            if done and not relay.ended:
                portions = portions + relay.finish()
        except ValueError:
            self._fail(FAILED, Refusal.UPSTREAM_FAILED)
            return
        failure = relay.failure
        if failure is not None:
            self._blame(failure, 0, 0)
            if self.stage == WAITING and self._falls_back(cause_of(0, failure.kind)):
                return
        elif self.stage == WAITING:
            self._worked()
        parts: list[bytes] = []
        for portion in portions:
            if portion.tokens:
                verdict = meter.cover(portion.tokens)
                if verdict:
                    self._stop(verdict, parts)
                    return
            parts.append(portion.data)
        if relay.ended or failure is not None:
            parts.insert(-1, self._told())
            self._hand_out_last(Refusal.UPSTREAM_FAILED if failure is not None else 0, b"".join(parts), done)
        elif done:
            self._stop(Refusal.UPSTREAM_FAILED, parts)
        else:
            data = b"".join(parts)
            if data:
                self._hand_out(data)
            if self.upstream is not None and not self.upstream.held:
                self._await(self.bounds.stream_ms)

    def _hand_out(self, data: bytes) -> None:
        """Send a part of the stream, after the head if it is the first one."""
        if self.framing == FRAMING_CHUNKED and self.stage == STREAMING:
            data = chunk(data, 0, len(data), False)
        elif self.stage == WAITING:
            data = self._begin_stream(data)
        # First, so that what a caller has got is charged also if this process is killed.
        meter = self.meter
        sent = self.bytes_out + len(data)
        self.ticket.meter(meter.likely_tokens, meter.passed, self.choices.offer.number, True)
        self.gate.earn(self.ticket, self.status, meter.earned(), self.bytes_in, sent, self.pool.number)
        self._send(data)

    def _begin_stream(self, data: bytes) -> bytes:
        """The head of the stream, and what comes with it."""
        self.stage = STREAMING
        self.status = self.said
        self.framing = FRAMING_CHUNKED if self.ticket.minor == 1 else FRAMING_CLOSE
        chunked = self.framing == FRAMING_CHUNKED
        self.keep_client = keep = self.keep_client and not self.plane.parting and chunked
        return b"".join((
            self._stream_lines(),
            self.gate.answer_lines(self.ticket, not keep, False),
            b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"\r\n",
            chunk(data, 0, len(data), False) if chunked else data,
        ))  # fmt: skip

    def _stream_lines(self) -> bytes:
        """What the head of the stream says of itself."""
        kind = self.relay.content_type or self.kind
        lines = self._opening(self.said, kind)
        return b"%bCache-Control: no-cache\r\n%b%b" % (lines, self.choices.offer.line, self._id_lines())

    def _hand_out_last(self, verdict: int, data: bytes, done: bool) -> None:
        """The stream is over, and charged before the last of it is sent; of the answer's body nothing is left if
        `done`, else its end must come soon, unless the provider has been left already, for another who is not there."""
        if self.stage == WAITING:
            data = self._begin_stream(data)
        elif self.framing == FRAMING_CHUNKED:
            data = chunk(data, 0, len(data), False)
        self.bytes_out += len(data) + (len(END) if self.framing == FRAMING_CHUNKED else 0)
        self._end(verdict, self.status, self.service.charges(self.status))
        if done or self.upstream is None:
            self.client.send(data + END if self.framing == FRAMING_CHUNKED else data)
            self._part(verdict == 0)
        else:
            self.told = True
            self.client.send(data)
            self._await(LAST_MS)

    def _take_end(self, data: bytes) -> None:
        """More of the body after the last event: its end, as a rule."""
        if self.chunks is not None:
            self.chunks.feed(data, 0, False)
            if self.chunks.done or self.chunks.broken:
                self._finish(self.chunks.done and self.chunks.taken == len(data))
        elif self.bounded:
            self.left -= len(data)
            if self.left <= 0:
                self._finish(self.left == 0)

    def _finish(self, reusable: bool) -> None:
        """The end of the body has come, or does not."""
        self.told = False
        if self.framing == FRAMING_CHUNKED:
            self.client.send(END)
        self._part(reusable)

    def _part(self, reusable: bool) -> None:
        self._leave_upstream(reusable and self.reusable)
        self.client.finished(self.keep_client)

    def _stop(self, verdict: int, parts: list[bytes]) -> None:
        """The gateway ends the stream, after this much more of it."""
        self.reusable = False
        parts.append(self._told())
        parts.append(self.relay.stop(failure_of(verdict)))
        self._hand_out_last(verdict, b"".join(parts), True)

    def probe(self) -> bytes:
        """A comment, where a stream of events has begun."""
        if self.reading != EVENTS or self.stage != STREAMING:
            return Exchange.probe(self)
        return chunk(COMMENT, 0, len(COMMENT), False) if self.framing == FRAMING_CHUNKED else COMMENT

    # The end

    def _fail(self, cause: str, refusal: int) -> None:
        """This try has failed: another is made, or that is the end."""
        if self.stage == WAITING:
            if not self._falls_back(cause):
                self.unserved(refusal)
        else:
            self._cut(refusal, False)

    def _falls_back(self, cause: str) -> bool:
        """Whether another try is made because of that, with nothing passed on yet."""
        raise NotImplementedError

    def _cut(self, verdict: int, charge: bool) -> None:
        if self.reading == PLAIN:
            Exchange._cut(self, verdict, charge)
        else:
            self._stop(verdict, [])

    def client_gone(self) -> None:
        """It is charged for what the provider has begun to answer, as far as that was relayed."""
        if self.stage == ENDED:
            self.told = False
            self._leave_upstream(False)
            return
        begun = self.reading >= WHOLE
        if begun:
            self._count()
        self._end(Refusal.CLIENT_GONE, 499, begun)
        self._leave_upstream(False)

    def _count(self) -> bytes:
        """Find what the call costs, and note it; the lines that tell the caller."""
        meter = self.meter
        relay = self.relay
        choices = self.choices
        if self.reading == EVENTS:
            relay.relayed = meter.passed  # what was not held for has not been sent
        usage, estimated = relay.charged(meter.asked.usage)
        self.counted = True
        self.ticket.meter(usage.input, usage.output, choices.offer.number, estimated, usage.cached, usage.reasoning)
        self.cost = meter.capture(usage)
        choices.used(usage.input + usage.output)
        self.usage: Usage = usage
        self.balance = self.ticket.balance() + meter.held - self.cost
        lines = choices.offer.line + self._id_lines()
        return cost_lines(self.cost, self.balance, usage.input, usage.output, lines)

    def _told(self) -> bytes:
        """The same as a comment of server-sent events, which readers skip; nothing where it is no such stream."""
        self._count()
        if not (self.relay.content_type or self.kind).startswith(EVENT_STREAM):
            return b""
        return b": fastgw cost=%b balance=%b in=%d out=%d\n\n" % (
            money(self.cost), money(self.balance), self.usage.input, self.usage.output,
        )  # fmt: skip

    def _id_lines(self) -> bytes:
        lines = b"X-Upstream-Request-Id: %b\r\n" % self.upstream_id if self.upstream_id else b""
        if self.dialect == "anthropic":
            lines += b"Request-Id: %b\r\n" % self.ticket.request_id()
        return lines

    # What is neither text nor events

    def _pass_plain(self, data: bytes, start: int) -> None:
        """Pass on a body that is nothing to read, framed as it is for any other call."""
        if self.stage == WAITING:
            choices = self.choices
            self._worked()
            self.stage = STREAMING
            self.status = self.said
            keep = self.keep_client and not self.plane.parting and self.framing != FRAMING_CLOSE
            self.keep_client = keep
            length = b"Content-Length: %d\r\n" % self.left if self.framing == FRAMING_LENGTH else b""
            chunked = b"Transfer-Encoding: chunked\r\n" if self.framing == FRAMING_CHUNKED else b""
            self._send(b"".join((
                STATUS_LINES.get(self.said) or b"HTTP/1.1 %d OK\r\n" % self.said,
                b"Content-Type: %b\r\n" % (self.kind or b"application/octet-stream"),
                length,
                choices.offer.line,
                self._id_lines(),
                self.gate.answer_lines(self.ticket, not keep, False),
                chunked,
                b"\r\n",
            )))  # fmt: skip
        if start < len(data) and self.stage == STREAMING:
            Exchange._stream(self, data[start:] if start else data)

    def _end(self, verdict: int, status: int, charge: bool) -> None:
        if charge and self.reading == PLAIN and not self.counted:
            self._count()
        Exchange._end(self, verdict, status, charge)

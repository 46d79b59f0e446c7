"""Decides what the bytes of one client are: heads to admit or refuse, bodies to pass on, or nothing that counts.

One request is in flight at a time; what a client sends ahead waits in a bounded stash, and is answered in order.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Any

from .._http import FRAMING_CLOSE, find_head_end
from .._wire import is_quiet
from ..identities import of_session
from ..refusals import Refusal
from .completion import Completion, open_completion
from .ends import ClientEnd
from .exchange import CONTINUE, Exchange
from .first_completion import FirstCompletion
from .idempotent import FORGIVEN, FirstCall, open_call
from .odd_heads import line_refusal, plain_request
from .upgrade import asked_protocols, open_upgrade
from .wishes import WAIT_MS

if TYPE_CHECKING:
    from .._call import Ticket
    from .doors import Door, Newcomer
    from .plane import Plane
    from .service import Service

STASH_MAX = 65536  # bytes read ahead of the request in flight
LINE_REST = 64  # bytes of a request line besides the target
SKIP_MAX = 262144  # bytes of a refused body that are read and dropped to keep the connection
LINGER_MS = 2000  # to let a client read a refusal before the connection closes under it
PROBE_MS = 500  # between looks at a client that has closed its side
PROBE_SOON_MS = 200  # likewise, where an answer that nobody reads costs money
PROBES = 20  # looks to one interim answer
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time
NOTHING = b"\r\n\r\n"


class Connection(ClientEnd):
    """A client's connection (asyncio.Protocol)."""

    def __init__(self, plane: Plane, door: Door, told: Newcomer | None = None) -> None:
        """`told` knows whose connection it is, by a PROXY header."""
        super().__init__()
        self.plane = plane
        self.door = door
        self.told = told
        self.gate = plane.gate
        self.exchange: Exchange | None = None
        self.stash = b""  # a partial head, or what came ahead
        self.searched = 0  # how far the stash holds no end of a head
        self.skip = 0  # bytes of a refused body still to come
        self.body_tick = 0  # when the body in flight began, as if it had never been held up
        self.held_tick = 0  # since when it is held up; 0: it is not
        self.reading = True
        self.partial = False  # the stash is the beginning of a head that is being waited for
        self.probes = 0
        self.closing = False
        self.wishing = False  # the request in the stash waits for its tag
        self.granted = 0  # what to say where the tag is not there after that; 0: nothing was asked for

    # asyncio.Protocol

    def connection_made(self, transport: Any) -> None:
        plane = self.plane
        self.attach(transport)
        self.peer = self.door.peer(transport, self.told)
        if self.secured:
            self.peer.identify(of_session(transport.get_extra_info("ssl_object")))
        self.gate.count(1, 0, 0)
        plane.clients.add(self)
        if plane.shedding or len(plane.clients) > plane.bounds.connections_max:
            self._refuse_unasked(Refusal.OVERLOADED)
        else:
            plane.wheel.arm(self, plane.bounds.idle_ms)

    def data_received(self, data: bytes) -> None:
        if self.closing:
            return
        exchange = self.exchange
        if exchange is not None:
            taken = 0
            if exchange.request_open:
                self._await_body()
                taken = exchange.request_data(data)
                if self.exchange is None:  # the body ended the exchange, and `finished` has seen to the rest
                    if taken < len(data) and not self.closing:
                        self._serve(data[taken:])
                    return
                if not exchange.request_open:
                    self.deadline = 0
            if taken < len(data):
                self.stash += data[taken:]
                if len(self.stash) > STASH_MAX:
                    self._read(False)
        elif self.wishing:
            self.stash += data
        elif self.stash:
            self._serve(self.stash + data)
        else:
            self._serve(data)

    def eof_received(self) -> bool:
        """The client has sent all it will; it may still want its answers."""
        self.half_closed = True
        exchange = self.exchange
        if exchange is not None and not exchange.request_open:
            self._watch()
            return True
        if exchange is None and self.stash and not self.partial and not self.closing:
            return True  # requests that wait for the client to take the answers before them
        if not self.closing and exchange is not None:
            exchange.client_gone()
        return False

    def connection_lost(self, _: Exception | None) -> None:
        self.descriptor = -1
        self.deadline = 0
        self.closing = True
        self.gate.count(-1, 0, 0)
        self.plane.clients.discard(self)
        exchange = self.exchange
        if exchange is not None:
            self.exchange = None
            exchange.client_gone()
        elif self.wishing and self.plane.wishes is not None:
            self.plane.wishes.give_up(self)

    def pause_writing(self) -> None:
        self.writable = False
        self.plane.wheel.arm(self, self.plane.bounds.write_ms)
        if self.exchange is not None:
            self.exchange.answer_input(True)

    def resume_writing(self) -> None:
        self.writable = True
        if self.closing:
            return
        exchange = self.exchange
        if exchange is not None:
            self._watch()
            exchange.answer_input(False)
        elif not self.wishing:
            self._next()

    def _watch(self) -> None:
        """What the client must do next, while a call is in flight, and by when."""
        if self.exchange is not None and self.exchange.request_open:
            self._await_body()
        elif self.half_closed:
            ai = self.exchange is not None and self.exchange.service.models is not None
            self.plane.wheel.arm(self, PROBE_SOON_MS if ai else PROBE_MS)
        else:
            self.deadline = 0

    def _await_body(self) -> None:
        """More of the body must come: after no longer a pause than is allowed, and on average as fast as is asked."""
        bounds = self.plane.bounds
        wheel = self.plane.wheel
        within_ms = bounds.body_ms
        if bounds.body_rate and self.exchange is not None:
            allowed_ms = bounds.body_ms + self.exchange.bytes_in * 1000 // bounds.body_rate
            within_ms = max(0, min(within_ms, allowed_ms - (wheel.tick - self.body_tick) * wheel.tick_ms))
        wheel.arm(self, within_ms)

    def _probe(self) -> None:
        """Learn whether a client that has closed its side is still there, or has closed altogether: both look the same
        until something is sent, which a client that is gone answers with a reset."""
        exchange = self.exchange
        if self.transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.broken()
            return
        if exchange is not None and self.probes % PROBES == 0 and (probe := exchange.probe()):
            self.send(probe)
        self.probes += 1
        self._watch()

    # The requests

    def _serve(self, data: bytes) -> None:
        """Take requests from `data` until one is in flight, the client cannot take more answers, or it is used up."""
        plane = self.plane
        position = 0
        searched = self.searched
        moved = self.deadline == 0  # else empty lines and pieces of a body that is dropped win no time
        self.stash = b""
        self.searched = 0
        while position < len(data) and not self.closing:
            if self.exchange is not None or not self.writable:
                self.stash = data[position:] if position else data
                if len(self.stash) > STASH_MAX:
                    self._read(False)
                return
            if self.skip:
                taken = min(self.skip, len(data) - position)
                self.skip -= taken
                position += taken
                moved = moved or not self.skip
                continue
            if data[position] == 13 or data[position] == 10:  # empty lines before a request (RFC 9112 §2.2)
                if data[position] == 13:
                    if position + 1 == len(data):
                        self.stash = data[position:]
                        break
                    if data[position + 1] != 10:
                        self._refuse_unasked(Refusal.BAD_REQUEST)
                        return
                position += 1
                continue
            end = find_head_end(data, max(position, searched - 3))
            searched = 0
            if end < 0:
                self._wait_for_head(data, position)
                return
            if end - position > plane.bounds.head_max:
                self._refuse_unasked(self._too_large(data, position))
                return
            position = self._request(data, position, end)
            moved = True
        if moved and self.exchange is None and not self.closing and not self.wishing:
            plane.wheel.arm(self, plane.bounds.body_ms if self.skip else plane.bounds.idle_ms)

    def _wait_for_head(self, data: bytes, position: int) -> None:
        """The head is not whole: keep what there is, unless it can only become a refusal."""
        plane = self.plane
        length = len(data) - position
        first = data[position]
        line = data.find(b"\n", position)
        if not 65 <= first <= 90 and not 97 <= first <= 122:
            self._refuse_unasked(Refusal.BAD_REQUEST)  # TLS, or no HTTP at all
        elif length > plane.bounds.head_max or (line < 0 and length > plane.bounds.url_max + LINE_REST):
            self._refuse_unasked(self._too_large(data, position))
        elif line >= 0 and line_refusal(data[position:line]):
            self._refuse_unasked(line_refusal(data[position:line]))
        else:
            if not self.partial:
                plane.wheel.arm(self, plane.bounds.head_ms)  # for the whole head, not from byte to byte
            self.partial = True
            self.stash = data[position:] if position else data
            self.searched = len(self.stash)

    def _too_large(self, data: bytes, position: int) -> Refusal:
        """What to say of a head that is, or will be, too long: its first line is to blame, or the rest."""
        line = data.find(b"\n", position)
        length = (len(data) if line < 0 else line) - position
        return Refusal.URL_TOO_LONG if length > self.plane.bounds.url_max + LINE_REST else Refusal.HEAD_TOO_LARGE

    def _request(self, data: bytes, start: int, end: int) -> int:
        """Admit or refuse the request with the head `data[start:end]`; the offset where the next one begins."""
        gate = self.gate
        head = gate.head
        self.partial = False
        shift = 0  # bytes by which the head grew when it was written anew
        scan = gate.begin(data, start, end)
        if scan != 0:
            if scan == 2:
                return self._refuse(Refusal.HEAD_TOO_LARGE, data, end, True)
            plain = plain_request(data[start:end])
            if not isinstance(plain, bytes):
                return self._refuse(plain, data, end, True)
            shift = len(plain) - end
            data = plain + data[end:]
            start, end = 0, len(plain)
            if gate.begin(data, 0, end) != 0:
                return self._refuse(Refusal.BAD_REQUEST, data, end, True) - shift
        if head.target_length > self.plane.bounds.url_max:
            return self._refuse(Refusal.URL_TOO_LONG, data, end, True) - shift
        if self.plane.shedding:
            gate.turn_away(self.peer)
            return self._refuse(Refusal.OVERLOADED, data, end, False) - shift
        verdict = gate.decide(self.peer)
        if verdict != 0:
            if gate.tag_wanted:
                verdict = self._wish(data[start:])
                if verdict == 0:
                    return len(data) - shift
            if self.plane.calls is not None and verdict in FORGIVEN:
                return self._keyed(self.plane.services[gate.route_index], verdict, data, end) - shift
            return self._refuse(verdict, data, end, False) - shift
        service = self.plane.services[gate.route_index]
        if service.models is not None:
            if service.window_ms:
                return self._keyed(service, 0, data, end) - shift
            return self._begin(open_completion(self.plane, self, service), data, end) - shift
        if head.upgrade and (protocols := asked_protocols(head, service)):
            return self._begin(open_upgrade(self.plane, self, service, protocols), data, end) - shift
        if service.window_ms:
            return self._keyed(service, 0, data, end) - shift
        return self._begin(Exchange(self.plane, self, gate.ticket(), service), data, end) - shift

    def _wish(self, data: bytes) -> int:
        """Ask for the tag that the request names, and let it wait: 0, or the refusal. `data` begins with it."""
        wishes = self.plane.wishes
        if wishes is None or self.granted:
            return self.granted or Refusal.UNKNOWN_TAG
        if not wishes.ask(self, *self.gate.wanted_tag()):
            return Refusal.LEDGER_UNAVAILABLE
        self.wishing = True
        self.stash = data
        self._read(False)
        self.plane.wheel.arm(self, WAIT_MS)
        return 0

    def tag_answered(self, refusal: int) -> None:
        """The tag is there now, or never; where it is not, this is the refusal."""
        self.wishing = False
        self.deadline = 0
        self.granted = refusal
        data, self.stash = self.stash, b""
        self._read(True)
        self._serve(data)
        self.granted = 0

    def _keyed(self, service: Service, verdict: int, data: bytes, end: int) -> int:
        """Begin or refuse a call that may have an Idempotency-Key; the offset where the next request begins."""
        if service.window_ms == 0:
            return self._refuse(verdict, data, end, False)
        if service.models is None:
            opening = open_call(self.plane, self, service, verdict, Exchange, FirstCall)
        else:
            opening = open_call(self.plane, self, service, verdict, Completion, FirstCompletion)
        if opening.exchange is None:
            return self._refuse(opening.verdict, data, end, False, opening.ticket)
        return self._begin(opening.exchange, data, end)

    def _begin(self, exchange: Exchange, data: bytes, end: int) -> int:
        """The request that was just admitted goes its way; the offset where the next one begins."""
        head = self.gate.head
        if head.expects_continue and end == len(data) and (head.content_length > 0 or head.chunked):
            self.send(CONTINUE)
        self.deadline = 0
        self.exchange = exchange
        self.body_tick = self.plane.wheel.tick
        self.held_tick = 0
        stop = exchange.start(data, end)
        if self.exchange is not None and exchange.request_open:
            self._await_body()
        return stop

    def _refuse(self, verdict: int, data: bytes, end: int, close: bool, ticket: Ticket | None = None) -> int:
        """Answer with a refusal; the offset where the next request begins. The body is skipped, if it is small.

        `ticket` is of a request that was admitted before, to be settled."""
        head = self.gate.head
        body = 0
        known = not close  # what comes after a head that means nothing is unknown
        if known:
            body = max(head.content_length, 0)
            close = (
                not head.keep_alive
                or head.chunked
                or (head.expects_continue and body > 0)
                or body > SKIP_MAX
                or self.plane.parting
            )
        else:
            self.gate.stranger(self.peer)  # refused before `decide` has noted who it is
        self.send(self.gate.refuse(verdict, close) if ticket is None else self._void(ticket, verdict, close))
        if close:
            self._linger(known and len(data) - end >= body and not head.chunked)
            return len(data)
        taken = min(body, len(data) - end)
        self.skip = body - taken
        return end + taken

    def _void(self, ticket: Ticket, verdict: int, close: bool) -> bytes:
        """The refusal of a call that was admitted, which is over with that."""
        out = self.gate.fail(ticket, verdict, close)
        self.gate.settle(ticket, verdict, int(out[9:12]), False, 0, self.gate.head.length, len(out), 0)
        return out

    def _refuse_unasked(self, refusal: int) -> None:
        """Refuse what is not a request, and close."""
        self.gate.begin(NOTHING, 0, len(NOTHING))
        self.gate.stranger(self.peer)
        self.send(self.gate.refuse(refusal, True))
        self._linger(False)

    def _linger(self, all_read: bool) -> None:
        """Close, but not before the client can have read the answer: unread bytes would turn the close into a reset."""
        self.closing = True
        self.stash = b""
        if all_read or self.half_closed:
            self.transport.close()
            self.plane.wheel.arm(self, self.plane.bounds.write_ms)
        else:
            self._read(True)
            self.transport.write_eof()
            self.plane.wheel.arm(self, LINGER_MS)

    def _next(self) -> None:
        """Go on with what came ahead, or wait for the next request: the client has been told that it may send one. When
        the worker drains, the answer to that says that it is the last, and `drain` closes who sends none."""
        self._read(True)
        if self.stash:
            self._serve(self.stash)
        if self.exchange is None and not self.closing and not self.stash:
            if self.half_closed:
                self.transport.close()
            else:
                self.plane.wheel.arm(self, self.plane.bounds.idle_ms)

    def _read(self, wanted: bool) -> None:
        if wanted != self.reading and not self.half_closed:
            self.reading = wanted
            if wanted:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    # ClientEnd

    def unsendable(self) -> None:
        self.transport.abort()

    def hold_input(self, held: bool) -> None:
        self._read(not held)
        if held:
            self.deadline = 0
            self.held_tick = self.held_tick or self.plane.wheel.tick
            return
        if self.held_tick:
            self.body_tick += self.plane.wheel.tick - self.held_tick
            self.held_tick = 0
        if self.exchange is not None and self.exchange.request_open:
            self._await_body()

    def hand_over(self, protocol: Any) -> bytes:
        ahead, self.stash = self.stash, b""
        self.deadline = 0
        self.transport.set_protocol(protocol)
        self._read(True)
        return ahead

    def finished(self, keep: bool) -> None:
        exchange = self.exchange
        self.exchange = None
        if self.closing:
            return
        if keep:
            if self.writable:
                self._next()
        else:
            self._linger(exchange is None or not exchange.request_open)

    def broken(self) -> None:
        exchange = self.exchange
        self.exchange = None
        self.closing = True
        self.deadline = 0
        # Where only the connection's end ends a body, or not all of it has been sent, a reset tells that it was cut.
        if self.transport.get_write_buffer_size() or (exchange is not None and exchange.framing == FRAMING_CLOSE):
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()
        if exchange is not None:
            exchange.client_gone()

    def on_deadline(self) -> None:
        if self.closing or not self.writable:
            self.broken()  # lingering, or a client that reads nothing
        elif self.exchange is not None:
            if self.exchange.request_open:
                self.exchange.unserved(Refusal.REQUEST_TIMEOUT)
            elif self.half_closed:
                self._probe()
        elif self.wishing and self.plane.wishes is not None:
            self.plane.wishes.give_up(self)
            self.tag_answered(Refusal.LEDGER_UNAVAILABLE)
        elif self.stash or self.skip:
            self._refuse_unasked(Refusal.REQUEST_TIMEOUT)
        elif not self.drain() and not self.closing:
            self.plane.wheel.arm(self, 0)

    def drain(self) -> bool:
        """Close when nothing is in flight, and say if that was so; else it is closed after the answer. A request that
        has come and is not read yet, because the worker has not had its turn, is in flight."""
        idle = self.exchange is None and not self.stash and not self.skip and not self.closing
        idle = idle and (self.half_closed or is_quiet(self.descriptor))
        if idle:
            self.closing = True
            self.transport.close()
        return idle

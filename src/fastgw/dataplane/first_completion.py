"""Decides how a call to a model with an Idempotency-Key goes on: what it answers is kept when it is charged.

Whoever asks again while it is made is told so, and later gets the same answer, without a charge: a stream too, all at
once. It goes on though its client has gone, as long as what it answers can be kept.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ..refusals import Refusal
from .completion import Completion
from .idempotent import Kept, go_on_alone
from .stages import ENDED, PLAIN

if TYPE_CHECKING:
    from .._call import Ticket
    from .ends import ClientEnd
    from .plane import Plane
    from .service import Service


class FirstCompletion(Completion):
    """The call that has the key: nobody else can make it until it is over."""

    def __init__(self, plane: Plane, client: ClientEnd, ticket: Ticket, service: Service) -> None:
        super().__init__(plane, client, ticket, service)
        assert plane.calls is not None
        self.calls = plane.calls
        self.number = plane.calls.number
        self.fingerprint = b""  # of method, target and body, once all of it has come
        self.lines = b""  # of the answer's head
        self.kept = Kept()
        self.whole = False
        self.alone = False  # the client has gone

    def _received(self, body: bytes) -> None:
        digest = hashlib.blake2b(b"%b %b\n" % (self.method, self.target), digest_size=16)
        digest.update(body)
        self.fingerprint = digest.digest()
        Completion._received(self, body)

    # What is kept

    def _answer(self, verdict: int, status: int, kind: bytes, body: bytes, lines: bytes, charge: bool) -> None:
        self.lines = self._opening(status, kind) + lines
        self.kept.note(body)
        self.whole = True
        Completion._answer(self, verdict, status, kind, body, lines, charge)

    def _hand_out(self, data: bytes) -> None:
        self.kept.note(data)
        if self.alone and self.kept.parts is None:
            self._give_up()
        else:
            Completion._hand_out(self, data)

    def _hand_out_last(self, verdict: int, data: bytes, done: bool) -> None:
        self.kept.note(data)
        self.whole = True
        self.lines = self._stream_lines()
        Completion._hand_out_last(self, verdict, data, done)

    def _pass_plain(self, data: bytes, start: int) -> None:
        self.kept.parts = None
        if self.alone:
            self._give_up()
        else:
            Completion._pass_plain(self, data, start)

    # The end

    def _end(self, verdict: int, status: int, charge: bool) -> None:
        """It is charged and remembered, or neither: its key is then free for another attempt."""
        charge = charge or (self.sent and self.service.always)
        if self.alone and verdict == 0:
            verdict, status = Refusal.CLIENT_GONE, 499
        if charge:
            if self.reading == PLAIN and not self.counted:
                self._count()
            self._keep()
        Completion._end(self, verdict, status, charge)
        self.calls.end(self.number, charge)

    def _keep(self) -> None:
        body = b"".join(self.kept.parts) if self.whole and self.kept.parts is not None else None
        lines = self.lines
        if body is not None:
            lines += b"Content-Length: %d\r\n" % len(body)
        self.calls.keep(self.ticket, self.number, self.fingerprint, lines, body, False, self.service.window_ms)

    def client_gone(self) -> None:
        """It goes on without its client, if all of the request has come, as long as the answer can be kept; but it does
        not wait for room without one."""
        if self.stage == ENDED or self.request_open or self.kept.parts is None or self.alone or self.waits:
            Completion.client_gone(self)
            return
        self.alone = True
        go_on_alone(self)

    def _give_up(self) -> None:
        """What cannot be kept is of no use to anybody any more."""
        Completion.client_gone(self)
        self.client.finished(False)

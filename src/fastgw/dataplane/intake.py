"""Decides how the body of a call is taken in that must be whole before anything is done: bounded, and not too slow.

How large a body may be, and how slowly it may come, is as for every other. It is kept as it comes, without the framing
of chunks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._http import ChunkedBody, rest
from .exchange import Exchange
from .idempotent import Nowhere
from .stages import WAITING

if TYPE_CHECKING:
    from .._call import Ticket
    from .ends import ClientEnd
    from .plane import Plane
    from .service import Service


class Intake(Exchange):
    """A call to whose body `_received` answers."""

    def _open(self, plane: Plane, client: ClientEnd, ticket: Ticket, service: Service) -> None:
        Exchange._open(self, plane, client, ticket, service)
        head = self.gate.head
        self.method = head.read_method()
        self.target = head.read_target()
        self.parts: list[bytes] | None = None  # where it comes in several
        self.reframes = False

    def start(self, data: bytes, end: int) -> int:
        head = self.gate.head
        stop = end
        self.bytes_in = head.length
        self.gate.count(0, 0, 1)
        if head.content_length > 0:
            self.request_left = head.content_length
            self.request_open = True
        elif head.chunked:
            self.request_chunks = ChunkedBody()
            self.request_open = True
        if not self.request_open:
            self._received(b"")
            return stop
        if end < len(data):
            stop += self.request_data(rest(data, end))
        if self.request_open and self.stage == WAITING:
            self.upstream = Nowhere(self.plane, self)
            self._await_client()
        return stop

    def _request_part(self, part: bytes) -> None:
        """Keep it until all have come."""
        if self.request_open:
            self._keep_part(part)
            return
        self._leave_upstream(False)
        self._received(self._all_parts(part))

    def _keep_part(self, part: bytes) -> None:
        """One that is not the last."""
        if self.parts is None:
            self.parts = []
        self.parts.append(part)

    def _all_parts(self, last: bytes) -> bytes:
        """All that have been kept, and the last one."""
        if self.parts is None:
            return last
        self.parts.append(last)
        whole = b"".join(self.parts)
        self.parts = None
        return whole

    def _received(self, body: bytes) -> None:
        """All of the request has come."""
        raise NotImplementedError

"""Decides how long and how large a request to the admin address may be before its end, and how many come at once."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

REQUEST_TIMEOUT_S = 10.0
HEAD_MAX = 32 << 10
CONNECTIONS_MAX = 256  # what the ledger's files need of this process's descriptors must remain


class BoundedProtocol(HttpToolsProtocol):
    """The server's protocol, with a deadline for a whole request and a most of octets for its head.

    The body is bounded by the application; a connection between two requests by the server's keep-alive timeout.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.deadline: asyncio.TimerHandle | None = None
        self.head_octets = -1  # so far; −1 outside of a head

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            transport.abort()
            return
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before = self.head_octets
        super().data_received(data)
        if before >= 0 and self.head_octets >= 0:  # of the part in which it began none are counted
            self.head_octets += len(data)
            if self.head_octets > HEAD_MAX:
                self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.head_octets = 0
        self._start_clock()

    def on_headers_complete(self) -> None:
        self.head_octets = -1
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._stop_clock()

    def _start_clock(self) -> None:
        if self.deadline is None:
            self.deadline = self.loop.call_later(REQUEST_TIMEOUT_S, self.transport.abort)

    def _stop_clock(self) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None

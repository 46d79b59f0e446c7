"""Decides how a handshake with a target goes: begun by us, on from the session before, and waited for."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from .tls_layer import TlsLayer


class TlsToTarget(TlsLayer):
    """A connection to a target; `done` is when the handshake is, or raises what it came to."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        context: ssl.SSLContext,
        server_name: str,
        former: ssl.SSLSession | None,
        protocol: Any,
    ) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = context.wrap_bio(incoming, outgoing, False, server_name, former)
        super().__init__(loop, session, incoming, outgoing, protocol)
        self.done: asyncio.Future[None] = loop.create_future()
        self.error: Exception | None = None  # that has ended it

    # TlsLayer

    def begun(self) -> None:
        self.shake_hands()

    def opened(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def failed(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error if isinstance(error, OSError) else ConnectionError(str(error)))
        self.transport.close()

    def spoilt(self, error: ssl.SSLError) -> None:
        self.error = error
        self.abort()

    def unsendable(self) -> None:
        self.descriptor = -1  # an answer may have come before the end; reading will tell

    def gone(self) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionResetError("ended in the handshake"))

    def connection_lost(self, error: Exception | None) -> None:
        TlsLayer.connection_lost(self, self.error or error)

"""Decides how a handshake with a client goes: in time, and counted among the connections that there may be."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from .tls_layer import SILENT, TlsLayer

if TYPE_CHECKING:
    from .connection import Connection
    from .plane import Plane

SPARE = 256  # handshakes beyond the connections that there may be: their clients are to be told so


class TlsTransport(TlsLayer):
    """A connection of a client. Until the handshake is done the plane has this among its clients, and then
    `protocol`."""

    def __init__(self, plane: Plane, context: ssl.SSLContext, protocol: Connection) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = context.wrap_bio(incoming, outgoing, server_side=True)
        super().__init__(plane.loop, session, incoming, outgoing, protocol)
        self.plane = plane
        self.exchange = None

    # TlsLayer

    def begun(self) -> None:
        clients, bounds = self.plane.clients, self.plane.bounds
        clients.add(self)
        if len(clients) > bounds.connections_max + SPARE:
            self.abort()
        else:
            self.plane.wheel.arm(self, bounds.head_ms)

    def opened(self) -> None:
        self.plane.gate.meet(0, 1, 0)
        self.plane.clients.discard(self)

    def failed(self, error: Exception) -> None:  # noqa: ARG002
        self.transport.close()
        self.plane.wheel.arm(self, self.plane.bounds.write_ms)

    def spoilt(self, error: ssl.SSLError) -> None:  # noqa: ARG002
        self.abort()

    def unsendable(self) -> None:
        self.abort()

    def gone(self) -> None:
        self.plane.clients.discard(self)
        if not self.made and self.stage != SILENT:  # which is a look whether the port is open
            self.plane.gate.meet(0, 0, 1)

    # As one of the plane's clients, until there is a connection

    def on_deadline(self) -> None:
        self.abort()

    def drain(self) -> None:
        """A handshake is finished, and what then is asked answered."""

    def broken(self) -> None:
        self.abort()

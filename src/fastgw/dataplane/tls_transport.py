"""Decides how the bytes of one client are enciphered: TLS (RFC 8446) between its socket and its connection.

To the event loop it is the protocol, to the connection the transport. The ssl module does the work, in memory: what it
makes is sent past the event loop wherever nothing waits before it, and what comes is handed on record by record. Unlike
the event loop's own TLS, it buffers what is to be sent in the socket's transport alone, knows connections of which one
half is closed, and ends when it is told to.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import TYPE_CHECKING, Any

from .._wire import send_now
from .deadlines import Timed

if TYPE_CHECKING:
    from .connection import Connection
    from .plane import Plane

RECORD = 16384  # bytes in clear, at most (RFC 8446 §5.1)
FED = 32768  # bytes given to the ssl module at once: its buffers never shrink while the connection is open
SPARE = 256  # handshakes beyond the connections that there may be: their clients are to be told so

SILENT = 0
SHAKING = 1
OPEN = 2
SENT = 3  # the last has been written, and the other side may go on
OVER = 4


class TlsTransport(Timed):
    """One connection. `protocol` is told of it when the handshake is done; until then the plane has this among its
    clients."""

    def __init__(self, plane: Plane, context: ssl.SSLContext, protocol: Connection) -> None:
        super().__init__()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = context.wrap_bio(incoming, outgoing, server_side=True)
        self.plane = plane
        self.protocol: Any = protocol
        self.exchange = None
        self.session: Any = session
        self.incoming: Any = incoming
        self.feed: Any = incoming.write
        self.drawn: Any = outgoing.read
        self.decipher: Any = session.read
        self.encipher: Any = session.write
        self.transport: Any = None
        self.descriptor = -1
        self.writable = True  # nothing is in the transport's buffer
        self.stage = SILENT
        self.made = False  # `protocol` knows of the connection
        self.paused = False
        self.parted = False  # the beginning of a record has been read
        self.ended = False  # the other side has said that no more will come
        self.behind = b""  # what has come and the ssl module has not been given

    # asyncio.Protocol

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.descriptor = transport.get_extra_info("socket").fileno()
        transport.set_write_buffer_limits(0)  # `writable` then says that nothing is buffered
        clients, bounds = self.plane.clients, self.plane.bounds
        clients.add(self)
        if len(clients) > bounds.connections_max + SPARE:
            self.abort()
        else:
            self.plane.wheel.arm(self, bounds.head_ms)

    def data_received(self, data: bytes) -> None:
        if self.stage == OVER:
            return
        if self.behind or len(data) > FED:
            self.behind += data
            self._catch_up()
        else:
            self.feed(data)
            self._go_on()

    def eof_received(self) -> bool:
        """The socket's end. Without the other side's word that it is meant, the connection is broken."""
        self._catch_up()
        return self.ended and self.stage != OVER

    def connection_lost(self, error: Exception | None) -> None:
        protocol, made = self.protocol, self.made
        if not made and self.stage != SILENT:
            self.plane.gate.meet(0, 0, 1)  # unlike a look whether the port is open
        self.descriptor = -1
        self.deadline = 0
        self.stage = OVER
        self.behind = b""
        self.protocol = self.session = self.decipher = self.encipher = None  # they hold one another
        self.plane.clients.discard(self)
        if made:
            protocol.connection_lost(error)

    def pause_writing(self) -> None:
        self.writable = False
        if self.made:
            self.protocol.pause_writing()

    def resume_writing(self) -> None:
        self.writable = True
        if self.made:
            self.protocol.resume_writing()

    # What comes

    def _catch_up(self) -> None:
        """Take in what has come, in parts."""
        if self.stage == OVER or self.paused:
            return
        self._go_on()
        while self.behind and not self.paused and self.stage != OVER:
            part = self.behind[:FED]
            self.behind = self.behind[FED:]
            self.feed(part)
            self._go_on()

    def _go_on(self) -> None:
        if self.stage < OPEN:
            self._shake_hands()
        else:
            self._read()

    def _shake_hands(self) -> None:
        """Go on with the handshake, and tell the protocol when it is done."""
        plane = self.plane
        self.stage = SHAKING
        try:
            self.session.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except (ssl.SSLError, ValueError):
            self._flush()  # the alert that says why
            self.stage = OVER
            self.transport.close()
            plane.wheel.arm(self, plane.bounds.write_ms)
            return
        self.deadline = 0
        self.stage = OPEN
        self.made = True
        plane.gate.meet(0, 1, 0)
        plane.clients.discard(self)
        self.protocol.connection_made(self)
        self._read()
        self._flush()  # the session's tickets go with the first answer, or now

    def _read(self) -> None:
        """Hand on all records that are whole."""
        incoming = self.incoming
        try:
            while not self.paused and not self.ended and self.stage != OVER:
                pending = incoming.pending
                if pending == 0 and not self.parted:
                    return
                data = self.decipher(RECORD if self.parted or pending > RECORD else pending)
                if not data:
                    self._end()
                    return
                self.parted = False
                self.protocol.data_received(data)
        except ssl.SSLWantReadError:
            self.parted = True
        except ssl.SSLZeroReturnError:
            self._end()
        except ssl.SSLError:
            self._flush()  # the alert
            self.abort()

    def _end(self) -> None:
        self.ended = True
        if not self.protocol.eof_received():
            self.close()

    # What goes

    def _flush(self) -> None:
        out = self.drawn()
        if out:
            self._send(out)

    def _send(self, out: bytes) -> None:
        if self.descriptor < 0:
            return
        if self.writable:
            sent = send_now(self.descriptor, out)
            if sent == len(out):
                return
            if sent < 0:
                self.abort()
                return
            out = out[sent:]
        self.transport.write(out)

    # asyncio.Transport

    def write(self, data: bytes) -> None:
        if self.stage != OPEN:
            return
        try:
            if len(data) <= FED:
                self.encipher(data)
                self._flush()
                return
            out = []
            for start in range(0, len(data), FED):
                self.encipher(data[start : start + FED])
                out.append(self.drawn())
        except ssl.SSLError:
            self.abort()
            return
        self._send(b"".join(out))

    def write_eof(self) -> None:
        """Say that no more will come (RFC 8446 §6.1), and go on reading."""
        if self.stage == OPEN:
            self.stage = SENT
            self._say_end()
            self.transport.write_eof()

    def close(self) -> None:
        """Say that no more will come, and close when all is sent."""
        if self.stage == OPEN:
            self._say_end()
        self.stage = OVER
        self.transport.close()

    def _say_end(self) -> None:
        with contextlib.suppress(ssl.SSLError):  # the other side has not said so yet
            self.session.unwrap()
        self._flush()

    def abort(self) -> None:
        self.stage = OVER
        self.transport.abort()

    def is_closing(self) -> bool:
        return self.stage == OVER

    def pause_reading(self) -> None:
        self.paused = True
        self.transport.pause_reading()

    def resume_reading(self) -> None:
        self.paused = False
        self.transport.resume_reading()
        if self.behind or self.parted or self.incoming.pending:
            self.plane.loop.call_soon(self._catch_up)

    def get_write_buffer_size(self) -> int:
        size: int = self.transport.get_write_buffer_size()
        return size

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """They are 0: nothing waits here before the protocol is told."""

    def set_read_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """They are 0, too: nothing is read on while reading is paused."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.session if name == "ssl_object" else self.transport.get_extra_info(name, default)

    # As one of the plane's clients, until there is a connection

    def on_deadline(self) -> None:
        self.abort()

    def drain(self) -> None:
        """A handshake is finished, and what then is asked answered."""

    def broken(self) -> None:
        self.abort()

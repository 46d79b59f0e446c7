"""Decides how the bytes of one connection are enciphered: TLS (RFC 8446) between its socket and its end of the plane.

To the event loop it is the protocol, to the end the transport. The ssl module does the work, in memory: what it makes
is sent past the event loop wherever nothing waits before it, and what comes is handed on record by record. Unlike the
event loop's own TLS, it buffers what is to be sent in the socket's transport alone, loses nothing that has come while
reading is paused, knows connections of which one half is closed, and ends when it is told to.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import TYPE_CHECKING, Any

from .._wire import send_now
from .deadlines import Timed

if TYPE_CHECKING:
    import asyncio

RECORD = 16384  # bytes in clear, at most (RFC 8446 §5.1)
FED = 32768  # bytes given to the ssl module at once: its buffers never shrink while the connection is open

SILENT = 0  # no handshake has begun
SHAKING = 1
OPEN = 2
SENT = 3  # the last has been written, and the other side may go on
OVER = 4


class TlsLayer(Timed):
    """One connection. `protocol` is told of it when the handshake is done.

    `session` is an ssl.SSLObject over the two buffers.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        session: ssl.SSLObject,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        protocol: Any,
    ) -> None:
        super().__init__()
        self.loop = loop
        self.protocol: Any = protocol
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

    # What the two sides differ in

    def begun(self) -> None:
        """The socket is connected."""
        raise NotImplementedError

    def opened(self) -> None:
        """The handshake is done; the protocol is about to be told."""
        raise NotImplementedError

    def failed(self, error: Exception) -> None:
        """There will be no handshake; the alert that says why has been sent."""
        raise NotImplementedError

    def spoilt(self, error: ssl.SSLError) -> None:
        """What came is not what was sent, or says that we are not welcome; the alert has been sent."""
        raise NotImplementedError

    def unsendable(self) -> None:
        """The connection is broken: nothing can be written any more."""
        raise NotImplementedError

    def gone(self) -> None:
        """The connection is lost; `stage` and `made` are what they were."""
        raise NotImplementedError

    # asyncio.Protocol

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.descriptor = transport.get_extra_info("socket").fileno()
        transport.set_write_buffer_limits(0)  # `writable` then says that nothing is buffered
        self.begun()

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
        self.gone()
        self.descriptor = -1
        self.deadline = 0
        self.stage = OVER
        self.behind = b""
        self.protocol = self.session = self.decipher = self.encipher = None  # they hold one another
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
            self.shake_hands()
        else:
            self._read()

    def shake_hands(self) -> None:
        """Go on with the handshake, and tell the protocol when it is done."""
        self.stage = SHAKING
        try:
            self.session.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except (ssl.SSLError, ValueError) as error:
            self._flush()  # the alert that says why
            self.stage = OVER
            self.failed(error)
            return
        self.deadline = 0
        self.stage = OPEN
        self.made = True
        self.opened()
        self.protocol.connection_made(self)
        self._read()
        self._flush()  # what ends the handshake goes with the first that is written, or now

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
        except ssl.SSLError as error:
            self._flush()  # the alert
            self.spoilt(error)

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
                self.unsendable()
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

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def can_write_eof(self) -> bool:
        return True

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
        if self.transport is not None:
            self.transport.abort()

    def is_closing(self) -> bool:
        return self.stage == OVER or bool(self.transport.is_closing())

    def pause_reading(self) -> None:
        self.paused = True
        self.transport.pause_reading()

    def resume_reading(self) -> None:
        self.paused = False
        self.transport.resume_reading()
        if self.behind or self.parted or self.incoming.pending:
            self.loop.call_soon(self._catch_up)

    def get_write_buffer_size(self) -> int:
        size: int = self.transport.get_write_buffer_size()
        return size

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """They are 0: nothing waits here before the protocol is told."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.session if name == "ssl_object" else self.transport.get_extra_info(name, default)

"""Decides how a client of these tests speaks TLS: with the calls of a socket, and in records and segments as it likes.

Unlike the ssl module's own sockets it can close its half and go on reading, end without a word, and send a record in
parts.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading

RECORD = 16384


class TlsSocket:
    """A connected socket under TLS. The handshake is made at once unless `shake` is False.

    Raises ssl.SSLError when the handshake fails, ConnectionError when it is cut.
    """

    def __init__(
        self,
        connected: socket.socket,
        context: ssl.SSLContext,
        name: str | None = None,
        *,
        session: ssl.SSLSession | None = None,
        shake: bool = True,
    ) -> None:
        self.socket = connected
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ssl = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name, session=session)
        self.ended = False  # by close_notify
        self.turn = threading.Lock()  # one thread may send while another reads, but not in OpenSSL
        if shake:
            self.shake_hands()

    def shake_hands(self) -> None:
        while not self.steps():
            self.flush()
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionResetError("the handshake was cut")
            self.incoming.write(data)
        self.flush()

    def steps(self) -> bool:
        """Go on with the handshake as far as what has come allows; whether it is done, once `outgoing` is sent."""
        try:
            self.ssl.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def sealed(self, data: bytes) -> bytes:
        """Records that hold these bytes; they must be sent in the order in which they were made."""
        with self.turn:
            for start in range(0, len(data), RECORD):
                self.ssl.write(data[start : start + RECORD])
            return self.outgoing.read()

    def flush(self) -> None:
        self.socket.sendall(self.outgoing.read())

    # As a socket

    def sendall(self, data: bytes) -> None:
        for start in range(0, len(data), 1 << 20):
            self.socket.sendall(self.sealed(data[start : start + (1 << 20)]))

    def recv(self, size: int) -> bytes:
        """b"" when the other side has said that it has nothing more; without that word an end is a reset."""
        while True:
            try:
                with self.turn:
                    data = self.ssl.read(size)
                self.ended = self.ended or not data
                return data
            except ssl.SSLZeroReturnError:
                self.ended = True
                return b""
            except ssl.SSLWantReadError:
                came = self.socket.recv(262144)
                if not came:
                    raise ConnectionResetError("an end that nobody has spoken of") from None
                self.incoming.write(came)

    def shutdown(self, how: int) -> None:
        """Say that no more will come, by TLS and by TCP."""
        with contextlib.suppress(ssl.SSLError):
            self.ssl.unwrap()
        self.flush()
        self.socket.shutdown(how)

    def settimeout(self, seconds: float | None) -> None:
        self.socket.settimeout(seconds)

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        self.socket.setsockopt(level, option, value)

    def close(self) -> None:
        self.socket.close()

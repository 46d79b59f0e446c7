"""Decides what a client of these tests can do: send any bytes, whole or one by one, and read answers strictly."""

from __future__ import annotations

import re
import socket
import ssl
import struct
from typing import Any, NamedTuple

from .tls_socket import TlsSocket

STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?")
FIELD_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*")
CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,16}")
TIMEOUT_S = 10.0


class NotHttpError(AssertionError):
    """What came is no answer by RFC 9112."""


class TruncatedError(Exception):
    """The connection ended before the answer did; `body` is what had come of it."""

    def __init__(self, what: str, body: bytes = b"") -> None:
        super().__init__(what)
        self.body = body


class Answer(NamedTuple):
    """One answer; names of fields in lower case, in order."""

    status: int
    reason: str
    fields: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for other, value in self.fields if other == name]

    def one(self, name: str) -> str:
        """The value of a field that is there exactly once."""
        [value] = self.all(name)
        return value

    @property
    def closes(self) -> bool:
        return self.all("connection") == ["close"]


class Client:
    """A raw client connection. Sends without delay, reads with a time limit."""

    def __init__(
        self, place: int | str, receive_buffer: int = 0, context: ssl.SSLContext | None = None, name: str = "localhost"
    ) -> None:
        """To a port or the path of a Unix socket; over TLS where a context says how, to a server of that name."""
        address = place if isinstance(place, str) else ("127.0.0.1", place)
        local = address is place
        connected = socket.socket(socket.AF_UNIX if local else socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connected.settimeout(TIMEOUT_S)
        connected.connect(address)
        if not local:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.scheme = "http" if context is None else "https"
        self.socket: Any = connected
        self.buffer = b""
        if context is not None:
            try:
                self.socket = TlsSocket(connected, context, name)
            except BaseException:
                connected.close()
                raise

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes, by_byte: bool = False) -> None:
        """Write all of it, unless the gateway hangs up meanwhile: it may, once it has refused."""
        try:
            if by_byte:
                for i in range(len(data)):
                    self.socket.sendall(data[i : i + 1])
            else:
                self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def half_close(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with an RST, so that the other side cannot take it for a half-close."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def is_silent(self, for_s: float) -> bool:
        """Whether neither bytes nor an end come within that time."""
        if self.buffer:
            return False
        self.socket.settimeout(for_s)
        try:
            self.buffer = self.socket.recv(65536)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(TIMEOUT_S)
        return False

    def is_ended(self) -> bool:
        """Whether the connection has ended cleanly, with nothing more to read; waits for either."""
        return self.buffer == b"" and self.socket.recv(65536) == b""

    def read(self, method: str = "GET") -> Answer:
        """One final answer; interim ones before it are skipped."""
        while True:
            answer = self.read_next(method)
            if answer.status >= 200:
                return answer

    def read_next(self, method: str = "GET") -> Answer:
        """One answer, interim or final."""
        head = self.until(b"\r\n\r\n")[:-4]
        first, *lines = head.split(b"\r\n")
        status_line = STATUS_LINE.fullmatch(first)
        if status_line is None:
            raise NotHttpError(f"status line {first!r}")
        fields = []
        for line in lines:
            found = FIELD_LINE.fullmatch(line)
            if found is None:
                raise NotHttpError(f"field line {line!r}")
            fields.append((found[1].decode().lower(), found[2].decode("latin-1")))
        answer = Answer(int(status_line[1]), (status_line[2] or b"").decode("latin-1"), fields, b"")
        return answer._replace(body=self._body(answer, method))

    def _body(self, answer: Answer, method: str) -> bytes:
        lengths, codings = answer.all("content-length"), answer.all("transfer-encoding")
        if len(lengths) + len(codings) > 1:
            raise NotHttpError(f"framed more than once: {answer.fields}")
        if answer.status < 200 or answer.status == 204:
            if lengths or codings:
                raise NotHttpError(f"{answer.status} with framing: {answer.fields}")
            return b""
        if method == "HEAD" or answer.status == 304:
            return b""
        if codings:
            if codings != ["chunked"]:
                raise NotHttpError(f"coding {codings}")
            return self._chunks()
        if lengths:
            if not re.fullmatch("[0-9]+", lengths[0]):
                raise NotHttpError(f"length {lengths}")
            return self.exactly(int(lengths[0]))
        if not answer.closes:
            raise NotHttpError("a body without a length on a connection that stays open")
        return self._rest()

    def _chunks(self) -> bytes:
        parts: list[bytes] = []
        while True:
            try:
                line = self.until(b"\r\n")[:-2]
                if CHUNK_SIZE.fullmatch(line) is None:
                    raise NotHttpError(f"chunk size {line!r}")
                size = int(line, 16)
                if size:
                    parts.append(self.exactly(size))
                end = self.exactly(2)
            except TruncatedError as error:
                raise TruncatedError(str(error), b"".join(parts) + error.body) from None
            if end != b"\r\n":
                raise NotHttpError(f"chunk ends with {end!r}")
            if size == 0:
                return b"".join(parts)

    def until(self, mark: bytes) -> bytes:
        """What comes up to `mark`, and `mark`."""
        while mark not in self.buffer:
            self._more()
        found, _, self.buffer = self.buffer.partition(mark)
        return found + mark

    def exactly(self, length: int) -> bytes:
        """So many bytes. Raises TruncatedError with those that came."""
        parts, have = [self.buffer], len(self.buffer)
        while have < length:
            try:
                part = self.socket.recv(262144)
            except ConnectionResetError:
                part = b""
            if not part:
                raise TruncatedError(f"{have} of {length} bytes", b"".join(parts))
            parts.append(part)
            have += len(part)
        data = b"".join(parts)
        self.buffer = data[length:]
        return data[:length]

    def _rest(self) -> bytes:
        parts, self.buffer = [self.buffer], b""
        while True:
            try:
                part = self.socket.recv(262144)
            except ConnectionResetError:
                raise TruncatedError("reset inside a body that ends with the connection", b"".join(parts)) from None
            if not part:
                return b"".join(parts)
            parts.append(part)

    def _more(self) -> None:
        try:
            part = self.socket.recv(262144)
        except ConnectionResetError:
            part = b""
        if not part:
            raise TruncatedError(f"the connection ended after {self.buffer!r}")
        self.buffer += part

"""Decides what the upstream of these tests does: logs every byte that arrives, and answers as a script says.

It holds what arrives to the strict form that a gateway must send; a deviation is a `violation`, which fails the test.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator

REQUEST_LINE = re.compile(rb"([A-Z-]+) (/[!-~]*) HTTP/1\.1")
FIELD_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\t\x20-\x7e\x80-\xff]*)")
HOP_BY_HOP = {
    "connection", "keep-alive", "te", "trailer", "upgrade", "proxy-connection", "proxy-authenticate",
    "proxy-authorization", "expect",
}  # fmt: skip


class Arrival:
    """One request as it came; `raw` is every byte of it, `whole` says that its body has ended."""

    def __init__(self, head: bytes, connection: int) -> None:
        self.raw = head
        self.connection = connection
        self.body = b""
        self.whole = False
        self.problems: list[str] = []
        first, *lines = head[:-4].split(b"\r\n")
        line = REQUEST_LINE.fullmatch(first)
        if line is None:
            self.problems.append(f"request line {first!r}")
        self.method = line[1].decode() if line else ""
        self.target = line[2].decode() if line else ""
        self.fields: list[tuple[str, str]] = []
        for text in lines:
            found = FIELD_LINE.fullmatch(text)
            if found is None:
                self.problems.append(f"field line {text!r}")
            else:
                self.fields.append((found[1].decode().lower(), found[2].decode("latin-1").strip(" \t")))
        names = [name for name, _ in self.fields]
        if names.count("host") != 1:
            self.problems.append(f"{names.count('host')} Host fields")
        if names.count("content-length") + names.count("transfer-encoding") > 1:
            self.problems.append(f"framed more than once: {self.fields}")
        hops = HOP_BY_HOP.intersection(names)
        if hops == {"connection", "upgrade"} and self.one("upgrade") == "websocket":
            hops = set()  # another protocol is asked for, as RFC 9110 §7.8 has it
        self.problems += [f"{name} was forwarded" for name in hops]

    def all(self, name: str) -> list[str]:
        return [value for other, value in self.fields if other == name]

    def one(self, name: str) -> str:
        [value] = self.all(name)
        return value


class Talk:
    """One request in the hands of a script. `keep` says whether the connection may carry another afterwards."""

    def __init__(self, peer: socket.socket, buffer: bytearray, arrival: Arrival) -> None:
        self.socket = peer
        self.buffer = buffer
        self.arrival = arrival
        self.keep = True

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self, status: int = 200, body: bytes = b"", *fields: str) -> None:
        lines = "".join(f"{field}\r\n" for field in fields)
        head = f"HTTP/1.1 {status} Whatever\r\nContent-Length: {len(body)}\r\n{lines}\r\n"
        self.send(head.encode() + body)

    def close(self) -> None:
        self.keep = False

    def reset(self) -> None:
        """End the connection with an RST."""
        self.keep = False
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def gone(self, within_s: float = 10.0) -> bool:
        """Whether the gateway ends the connection within that time; what it still sends is read."""
        self.socket.settimeout(within_s)
        self.keep = False
        try:
            while self.socket.recv(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            return True
        return True

    def more(self) -> bytes:
        """Bytes that have come and are not yet used, waiting for some; b"" at the end."""
        if not self.buffer:
            self.buffer += self.socket.recv(262144)
            self.arrival.raw += self.buffer
        data = bytes(self.buffer)
        self.buffer.clear()
        return data

    def read_body(self) -> bytes:
        """The request's body by its own framing, held to the strict form. Raises ConnectionError when it is cut."""
        arrival = self.arrival
        if arrival.all("transfer-encoding"):
            while True:
                size = int(self._until(b"\r\n"), 16)
                arrival.body += self._exactly(size)
                if self._exactly(2) != b"\r\n":
                    arrival.problems.append("a chunk without its end")
                if size == 0:
                    break
        elif arrival.all("content-length"):
            arrival.body = self._exactly(int(arrival.one("content-length")))
        arrival.whole = True
        return arrival.body

    def _until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            self._fill()
        at = self.buffer.index(mark)
        found = bytes(self.buffer[:at])
        del self.buffer[: at + len(mark)]
        return found

    def _exactly(self, length: int) -> bytes:
        while len(self.buffer) < length:
            self._fill()
        found = bytes(self.buffer[:length])
        del self.buffer[:length]
        return found

    def _fill(self) -> None:
        part = self.socket.recv(262144)
        if not part:
            raise ConnectionError("the request was cut")
        self.arrival.raw += part
        self.buffer += part


Script = Callable[[Talk], None]


def echo(talk: Talk) -> None:
    """What happens without a script: the body comes back."""
    talk.answer(200, talk.read_body())


class Oracle:
    """An upstream on a port of its own, or on `listener`, one thread per connection; over TLS with a `context`."""

    def __init__(self, context: ssl.SSLContext | None = None, listener: socket.socket | None = None) -> None:
        self.listener = listener or socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self.listener.getsockname()[1] if self.listener.family == socket.AF_INET else 0
        self.context = context
        self.refused: list[str] = []  # handshakes that came to nothing, and why
        self.arrivals: list[Arrival] = []
        self.connections = 0
        self.scripts: dict[str, Script] = {}
        self.errors: list[str] = []
        self._names = itertools.count(1)
        threading.Thread(target=self._accept, name="oracle", daemon=True).start()

    def close(self) -> None:
        self.listener.close()

    def __enter__(self) -> Oracle:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def script(self, script: Script) -> Iterator[str]:
        """Answer with `script` every request whose target holds the name that is given."""
        name = f"script-{next(self._names)}"
        self.scripts[name] = script
        try:
            yield name
        finally:
            del self.scripts[name]

    def named(self, name: str) -> list[Arrival]:
        """What has arrived with `name` in its target."""
        return [arrival for arrival in list(self.arrivals) if name in arrival.target]

    def wait_for(self, name: str, count: int = 1, within_s: float = 10.0) -> list[Arrival]:
        """The arrivals with `name` in their target, once there are `count`, each of them whole."""
        deadline = time.monotonic() + within_s
        while True:
            found = self.named(name)
            if len(found) >= count and all(arrival.whole for arrival in found):
                return found
            assert time.monotonic() < deadline, f"{len(found)} of {count} arrived"
            time.sleep(0.002)

    def violations(self) -> list[str]:
        return [problem for arrival in self.arrivals for problem in arrival.problems] + self.errors

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._begin, args=(peer, self.connections), daemon=True).start()

    def _begin(self, peer: socket.socket, number: int) -> None:
        if peer.family == socket.AF_INET:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.context is not None:
            try:
                peer = self.context.wrap_socket(peer, server_side=True)
            except OSError as error:
                self.refused.append(str(error))
                peer.close()
                return
        self._serve(peer, number)

    def _serve(self, peer: socket.socket, number: int) -> None:
        buffer = bytearray()
        with peer, contextlib.suppress(OSError):
            while True:
                while b"\r\n\r\n" not in buffer:
                    part = peer.recv(262144)
                    if not part:
                        if buffer:
                            self.errors.append(f"cut inside a head: {bytes(buffer)!r}")
                        return
                    buffer += part
                end = buffer.index(b"\r\n\r\n") + 4
                arrival = Arrival(bytes(buffer[:end]), number)
                del buffer[:end]
                arrival.raw += bytes(buffer)
                self.arrivals.append(arrival)
                talk = Talk(peer, buffer, arrival)
                self._script(arrival)(talk)
                if not talk.keep:
                    return

    def _script(self, arrival: Arrival) -> Script:
        for name in arrival.target.split("/"):
            script = self.scripts.get(name.partition("?")[0])
            if script is not None:
                return script
        return echo

"""Decides what tunnels are tested with: a plane on a segment of its own, whose clock can be moved on; a service that
speaks WebSocket; and one that does as it is told, byte by byte."""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from websockets.asyncio.server import ServerConnection, serve

from fastgw._segment import Segment, account_digest
from fastgw.refusals import Refusal

from .client import Client
from .rig import RECORD_BYTES, STATUS, Host, eventually

SLOTS = (1, 2)  # of the plane as a worker, and of another beside it
COST, BYTES_IN, BYTES_OUT, VERDICT = slice(32, 40), slice(40, 48), slice(48, 56), 70
HANDSHAKE = (
    b"Upgrade: websocket",
    b"Connection: Upgrade",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


class Row(NamedTuple):
    """A record of the journal, as far as it is about a tunnel."""

    status: int
    verdict: Refusal
    cost: int
    bytes_in: int
    bytes_out: int


class Accepted(Client):
    """The upstream's end of a connection."""

    def __init__(self, accepted: socket.socket) -> None:
        self.socket = accepted
        self.socket.settimeout(10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""


class Puppet:
    """An upstream whose connections the test has in its hands."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(10)
        self.port: int = self.listener.getsockname()[1]

    def accept(self) -> Accepted:
        return Accepted(self.listener.accept()[0])

    def is_left_alone(self, for_s: float = 0.1) -> bool:
        """Whether nobody connects for so long."""
        self.listener.settimeout(for_s)
        try:
            self.listener.accept()
        except TimeoutError:
            return True
        finally:
            self.listener.settimeout(10)
        return False


class EchoService:
    """A WebSocket service that says everything back; "close CODE" makes it close, "flood N" say N MiB, and /refused
    refuse to begin. With a context it speaks TLS."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.context = context
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.heads: list[Any] = []
        threading.Thread(target=self.loop.run_until_complete, args=(self._serve(),), daemon=True).start()
        assert self.ready.wait(10)

    async def _serve(self) -> None:
        self.over = asyncio.Event()
        async with serve(
            self._echo, "127.0.0.1", 0, max_size=None, compression=None, process_request=self._admit, ssl=self.context
        ) as server:
            self.port: int = next(iter(server.sockets)).getsockname()[1]
            self.ready.set()
            await self.over.wait()

    def _admit(self, connection: ServerConnection, request: Any) -> Any:
        self.heads.append(request.headers)
        return connection.respond(403, "not you\n") if "/refused" in request.path else None

    async def _echo(self, connection: ServerConnection) -> None:
        async for message in connection:
            if isinstance(message, str) and message.startswith("close "):
                await connection.close(int(message[6:]), "as you wish")
                return
            if isinstance(message, str) and message.startswith("flood "):
                for number in range(int(message[6:])):
                    await connection.send(bytes((number,)) * (1 << 20))
            else:
                await connection.send(message)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.over.set)


def config(puppet: int, service: int, server: str = "") -> str:
    """Routes by what a tunnel costs there; /to/ and /puppet/ are the puppet's, for nothing, the rest the service's."""
    routes = {
        "puppet": ("puppet", 'upgrades = ["websocket", "tcp", "IRC/6.9"]'),
        "plain": ("puppet", "upgrades = []"),
        "hidden": ("puppet", 'auth = "none"'),
        "free": ("service", ""),
        "call": ("service", 'price = "0.001"'),
        "minutes": ("service", 'price = "0.001"\nminute_price = "0.01"'),
        "bytes": ("service", 'mib_price = "0.001"'),
        "all": ("puppet", 'price = "0.001"\nminute_price = "0.01"\nmib_price = "0.1"\ncost_header = "x-cost"'),
        "served": ("puppet", 'price = "0.001"\nminute_price = "0.01"\ncharge = "2xx"'),
    }
    return (
        f'[server]\n{server}\n[[upstreams]]\nname = "puppet"\ntargets = ["http://127.0.0.1:{puppet}"]\n'
        f'[[upstreams]]\nname = "service"\ntargets = ["http://127.0.0.1:{service}"]\n'
        + "".join(
            f'[[routes]]\nname = "{name}"\npath = "/{name}/"\nupstream = "{upstream}"\n{rest}\n'
            for name, (upstream, rest) in routes.items()
        )
    )


class Stand:
    """A plane, its segment and what lies behind it."""

    def __init__(
        self, segment: Segment, puppet: Puppet, service: EchoService, where: tuple[Path, Path | None], slot: int
    ) -> None:
        self.segment = segment
        self.puppet = puppet
        self.service = service
        self.where = where
        self.slot = slot
        owner: Any = SimpleNamespace(segment=segment)
        self.host = Host(owner, config(puppet.port, service.port), *where, slot)

    @contextmanager
    def beside(self) -> Iterator[Stand]:
        """Another plane on the same segment."""
        other = Stand(self.segment, self.puppet, self.service, self.where, SLOTS[1])
        with other.host:
            yield other

    def configure(self, server: str = "") -> None:
        """Go on with these settings."""
        self.host.reconfigure(config(self.puppet.port, self.service.port, server))

    def resident_bytes(self) -> int:
        """Memory of the plane's process that is in use now."""
        return resident_bytes(self.host.process.pid)

    def pass_time(self, seconds: float) -> None:
        self.host.tell(f"+{round(seconds * 1000)}")

    def account(self, nanos: int = 10**15) -> Account:
        """A new one with so much money, and a key."""
        return Account(self, nanos)

    @property
    def tunnels(self) -> int:
        return self.gauges()[0]

    def gauges(self) -> tuple[int, int, int, int]:
        """Tunnels, calls, and connections of clients and to upstreams that are open."""
        worker = self.segment.worker(self.slot)
        return worker["tunnels"], worker["exchanges"], worker["clients"], worker["upstreams"]

    @property
    def written(self) -> int:
        """Calls in the journal."""
        return self.segment.journal_written(self.slot)

    def rows(self, first: int) -> list[Row]:
        """The journal from number `first` on."""
        data, _, lost = self.segment.journal(self.slot, first)
        assert lost == 0
        records = [data[at : at + RECORD_BYTES] for at in range(0, len(data), RECORD_BYTES)]
        return [
            Row(
                int.from_bytes(record[STATUS], "little"), Refusal(record[VERDICT]),
                *(int.from_bytes(record[part], "little") for part in (COST, BYTES_IN, BYTES_OUT)),
            )
            for record in records
        ]  # fmt: skip

    @contextmanager
    def row(self) -> Iterator[list[Row]]:
        """What the one call that ends in this block leaves in the journal."""
        first = self.written
        found: list[Row] = []
        yield found
        assert eventually(lambda: self.written > first)
        found += self.rows(first)
        assert len(found) == 1, found

    def connect(self) -> Client:
        return self.host.connect()

    def open(self, account: Account, path: str = "/puppet/x", head: bytes = SWITCHING) -> tuple[Client, Accepted]:
        """Both ends of a tunnel by way of the puppet."""
        client = self.connect()
        client.send(account.request(path))
        upstream = self.puppet.accept()
        upstream.until(b"\r\n\r\n")
        upstream.send(head)
        assert client.read_next().status == 101
        return client, upstream


class Account:
    """One account of a stand, and its key."""

    def __init__(self, stand: Stand, nanos: int) -> None:
        self.stand = stand
        self.key = f"sk-{secrets.token_hex(8)}"
        self.index = stand.segment.add_account(account_digest(self.key), nanos, 0)
        self.key_index = stand.segment.add_key(stand.segment.digest(self.key.encode()), self.index, 0, 1, 0)

    def request(self, path: str, *lines: bytes) -> bytes:
        identity = f"GET {path} HTTP/1.1\r\nHost: wire\r\nAuthorization: Bearer {self.key}\r\n".encode()
        return identity + b"".join(line + b"\r\n" for line in lines or HANDSHAKE) + b"\r\n"

    def budget(self, nanos: int) -> int:
        """Give its key a budget; the index of its meter."""
        meter = self.stand.segment.add_account(account_digest(f"{self.key}/budget"), nanos, 0)
        self.stand.segment.set_key(self.key_index, self.index, 0, 1, 0, meter)
        return meter

    def tag(self, name: str, nanos: int) -> int:
        """Give it a tag with a budget; the index of its meter."""
        segment = self.stand.segment
        meter = segment.add_account(account_digest(f"{self.key}/{name}"), nanos, 0)
        segment.add_key(segment.tag_digest(self.key, name), self.index, 0, 1, 0, meter)
        return meter

    def grant(self, nanos: int) -> None:
        self.stand.segment.set_granted(self.index, nanos)

    @property
    def held(self) -> int:
        return self.stand.segment.account(self.index)["held"]

    def captured(self) -> int:
        """Nanos charged, once nothing is held any more."""
        assert eventually(lambda: self.held == 0), self.stand.segment.account(self.index)
        account = self.stand.segment.account(self.index)
        assert account["committed"] == account["captured"] <= account["granted"]
        return account["captured"]

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def url(self, path: str) -> str:
        return f"ws://127.0.0.1:{self.stand.host.port}{path}"


@contextmanager
def stand(directory: Path, package: Path | None, memory: Path) -> Iterator[Stand]:
    with ExitStack() as stack:
        segment = Segment.create(
            str(memory / "segment"), secret=bytes(32), keys_max=1024, accounts_max=1024, routes_max=16,
            journal_records=1 << 12,
        )  # fmt: skip
        puppet, service = Puppet(), EchoService()
        stack.callback(service.close)
        stack.callback(puppet.listener.close)
        started = Stand(segment, puppet, service, (directory, package), SLOTS[0])
        with started.host:
            yield started


def resident_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon")


def close_frame(data: bytes) -> tuple[int, str]:
    """Code and reason of the one frame that `data` is, a Close, masked or not."""
    assert data[0] == 0x88
    length, data = data[1], data[2:]
    if length & 0x80:
        mask, data = data[:4], data[4:]
        data = bytes(byte ^ mask[i & 3] for i, byte in enumerate(data))
    assert len(data) == length & 0x7F
    return int.from_bytes(data[:2], "big"), data[2:].decode()

"""A closed loop of many connections that knows the fate of every call: its status and code, cut, or not connected."""

import asyncio
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import uvloop

CODE = re.compile(rb'"code": ?"([a-z_]+)"')
LENGTH = re.compile(rb"\r\ncontent-length: ([0-9]+)", re.IGNORECASE)


@dataclass
class Tally:
    """What became of the calls: answers by status and by code, connections that were cut with a call in flight."""

    statuses: Counter[int] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    cut: int = 0
    refused: int = 0  # connections that nobody accepted
    elapsed_s: float = 0.0
    took_s: list[float] = field(default_factory=list)  # each answer

    def p99_s(self) -> float:
        return sorted(self.took_s)[len(self.took_s) * 99 // 100]

    @property
    def answers(self) -> int:
        return self.statuses.total()


class Budget:
    """How many calls may still be made, and until when."""

    def __init__(self, calls: int, seconds: float) -> None:
        self.calls = calls
        self.until = time.monotonic() + seconds

    def take(self) -> bool:
        if self.calls <= 0 or time.monotonic() >= self.until:
            return False
        self.calls -= 1
        return True

    def end(self) -> None:
        """No more calls; for another thread."""
        self.calls = 0


class Caller(asyncio.Protocol):
    """One connection: one call at a time, until the budget or the connection ends."""

    def __init__(self, request: bytes, budget: Budget, tally: Tally, preface: bytes = b"") -> None:
        self.preface = preface
        self.request = request
        self.budget = budget
        self.tally = tally
        self.buffer = b""
        self.waiting = False
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self.preface)
        self.call()

    def call(self) -> None:
        if self.budget.take():
            self.waiting = True
            self.asked_at = time.monotonic()
            self.transport.write(self.request)
        else:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        match = LENGTH.search(self.buffer, 0, end + 2)
        assert match, self.buffer
        whole = end + 4 + int(match[1])
        if len(self.buffer) < whole:
            return
        assert self.waiting, self.buffer
        self.waiting = False
        self.tally.took_s.append(time.monotonic() - self.asked_at)
        self.tally.statuses[int(self.buffer[9:12])] += 1
        if code := CODE.search(self.buffer, end):
            self.tally.codes[code[1].decode()] += 1
        head, self.buffer = self.buffer[:end], self.buffer[whole:]
        if b"\r\nConnection: close" in head:
            self.transport.close()
        else:
            self.call()

    def connection_lost(self, _: Exception | None) -> None:
        if self.waiting:
            self.tally.cut += 1
        self.ended.set_result(None)


Place = int | tuple[str, int] | str  # a port of 127.0.0.1, an address and a port, or the path of a Unix socket


async def _connected(place: Place, make: Callable[[], Caller]) -> Caller:
    loop = asyncio.get_running_loop()
    if isinstance(place, str):
        return (await loop.create_unix_connection(make, place))[1]
    host, port = ("127.0.0.1", place) if isinstance(place, int) else place
    return (await loop.create_connection(make, host, port))[1]


async def _caller(place: Place, request: bytes, budget: Budget, tally: Tally, preface: bytes) -> None:
    while budget.calls > 0 and time.monotonic() < budget.until:
        try:
            caller = await _connected(place, lambda: Caller(request, budget, tally, preface))
        except OSError:
            tally.refused += 1
            await asyncio.sleep(0.01)
            continue
        await caller.ended


async def _all(place: Place, request: bytes, connections: int, budget: Budget, tally: Tally, preface: bytes) -> None:
    await asyncio.gather(*(_caller(place, request, budget, tally, preface) for _ in range(connections)))


def request(key: str, target: str = "/v1/calls") -> bytes:
    """A POST as a client of an API sends it."""
    body = b'{"question":"how much?"}'
    return (
        f"POST {target} HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def hammer(
    place: Place, payload: bytes, *, connections: int, calls: int = 1 << 60, seconds: float = 1e9, patience: float = 60,
    budget: Budget | None = None, preface: bytes = b"",
) -> Tally:  # fmt: skip
    """Call until `calls` are made or `seconds` are over; raises TimeoutError when answers keep out for `patience`.

    Each connection begins with `preface`.
    """
    tally = Tally()
    budget = budget or Budget(calls, seconds)
    start = time.monotonic()

    async def run() -> None:
        async with asyncio.timeout(patience + min(seconds, 600)):
            await _all(place, payload, connections, budget, tally, preface)

    uvloop.run(run())
    tally.elapsed_s = time.monotonic() - start
    return tally


class Hammering:
    """`hammer` in a thread, as a context; `tally` is whole when it has been left."""

    def __init__(
        self, place: Place, payload: bytes, *, connections: int, seconds: float = 1e9, calls: int = 1 << 60,
        preface: bytes = b"",
    ) -> None:  # fmt: skip
        self.tally = Tally()
        self.failure: BaseException | None = None
        self._budget = Budget(calls, seconds)
        arguments = (place, payload, connections, seconds, preface)
        self._thread = threading.Thread(target=self._run, args=arguments, daemon=True)

    def _run(self, place: Place, payload: bytes, connections: int, seconds: float, preface: bytes) -> None:
        try:
            self.tally = hammer(
                place, payload, connections=connections, seconds=seconds, budget=self._budget, preface=preface
            )
        except BaseException as error:
            self.failure = error

    def stop(self) -> None:
        """No more calls."""
        self._budget.end()

    def __enter__(self) -> "Hammering":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.stop()
        self._thread.join()
        if self.failure is not None:
            raise self.failure

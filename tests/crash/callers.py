"""The clients of a crash run: closed loops of calls that outlive every crash, and know what they were told."""

import asyncio
import json
import re
import threading
from collections import Counter
from dataclasses import dataclass, field

import uvloop

LENGTH = re.compile(rb"\r\ncontent-length: ([0-9]+)", re.IGNORECASE)


@dataclass
class Told:
    """What the clients of one account were told: answers by status, refusals by code, the cost of what was served."""

    statuses: Counter[int] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    nanos: int = 0
    cut: int = 0  # calls whose fate they never learned


class Callers:
    """`connections` loops for each of `targets` ({account: (key, target)}) in a thread, from `start` to `stop`."""

    def __init__(self, port: int, targets: dict[str, tuple[str, str]], connections: int) -> None:
        self.port = port
        self.targets = targets
        self.connections = connections
        self.told = {name: Told() for name in targets}
        self.over = threading.Event()
        self.failure: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        """End every loop after the call it is in; raises what went wrong in them."""
        self.over.set()
        self.thread.join(30)
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        try:
            uvloop.run(self._all())
        except BaseException as error:
            self.failure = error

    async def _all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for name, (key, target) in self.targets.items():
                for _ in range(self.connections):
                    group.create_task(self._loop(name, key, target))

    async def _loop(self, name: str, key: str, target: str) -> None:
        request = (
            f"POST {target} HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer {key}\r\n"
            "Content-Length: 2\r\n\r\n{}"
        ).encode()
        while not self.over.is_set():
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:  # nobody listens: the supervisor was killed
                await asyncio.sleep(0.02)
                continue
            try:
                while not self.over.is_set():
                    writer.write(request)
                    try:
                        async with asyncio.timeout(20):
                            keep = await self._answer(reader, self.told[name])
                    except (asyncio.IncompleteReadError, ConnectionError):
                        self.told[name].cut += 1
                        break
                    if not keep:
                        break
            finally:
                writer.close()

    async def _answer(self, reader: asyncio.StreamReader, told: Told) -> bool:
        """Take in one answer; whether the connection may carry another."""
        head = await reader.readuntil(b"\r\n\r\n")
        match = LENGTH.search(head)
        assert match, head
        body = json.loads(await reader.readexactly(int(match[1])))
        status = int(head[9:12])
        told.statuses[status] += 1
        if status == 200:
            told.nanos += body["cost"]
        else:
            told.codes[body["code"]] += 1
            await asyncio.sleep(0.005)  # an account without means must not take the run's processor
        return b"\r\nConnection: close" not in head

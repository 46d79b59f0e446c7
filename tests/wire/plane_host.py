"""Decides how a data plane runs outside a gateway: beside the workers of one, on its segment, for who tells it what.

Run as a program with the segment's path, a worker's slot, a listening socket and the path of a configuration. Every
further path on standard input is one to go over to, "+N" lets N milliseconds go by at once, "~N" does so before the
first step of what the plane begins next, "!N" has the process killed as soon as something has been sent to a client
for the Nth time from now on, and "drain" is what the drain timeout's end is; each is answered with a line.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import uvloop

from fastgw import published
from fastgw._segment import Segment
from fastgw.config.load import load
from fastgw.dataplane import doors
from fastgw.dataplane import plane as plane_module
from fastgw.dataplane.connection import Connection
from fastgw.dataplane.doors import Door
from fastgw.dataplane.plane import Plane
from fastgw.model import Config
from fastgw.rows import claim_numbers


class Clock:
    """The module `time` as a plane sees it, whose clock can be moved on."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


class Late:
    """The loop as a plane sees it, which lets time go by before the first step of a task."""

    def __init__(self, loop: asyncio.AbstractEventLoop, meanwhile: Callable[[], None]) -> None:
        self.loop = loop
        self.meanwhile = meanwhile

    def create_task(self, steps: Any) -> asyncio.Task[Any]:
        self.loop.call_soon(self.meanwhile)
        return self.loop.create_task(steps)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loop, name)


class Mortal(Connection):
    """A client's connection; what is left of the process's life is counted in what is sent on one."""

    left = 0

    def send(self, data: bytes) -> None:
        super().send(data)
        Mortal.left -= 1
        if Mortal.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def read(path: str, segment: Segment) -> Config:
    """A configuration, with the names in the segment that a plane wants to find there."""
    if path.endswith(".config"):
        with open(path, "rb") as file:
            config = published.read(file.fileno())
    else:
        config = load(path, {}, {})
    claim_numbers(segment, config)
    for plan in config.plans:
        segment.plan_slot(plan.name)
    return config


async def serve(segment: Segment, worker: int, listener: socket.socket, path: str) -> None:
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    clock = Clock()
    setattr(plane_module, "time", clock)  # noqa: B010  # a plane looks nowhere else
    config = read(path, segment)
    plane = Plane(config, segment, worker, loop)
    door = Door(plane, config.listeners[0])

    def late(line: str) -> None:
        plane.loop = loop
        do(line)

    def do(line: str) -> None:
        if line.startswith("~"):
            seen: Any = Late(loop, lambda: late(f"+{line[1:]}"))
            plane.loop = seen
        elif line.startswith("+"):
            clock.ahead_s += int(line) / 1000
            plane.wheel.turn(int(clock.monotonic() * 1000))
        elif line.startswith("!"):
            Mortal.left = int(line[1:])
            setattr(doors, "Connection", Mortal)  # noqa: B010
        elif line == "drain":
            for client in list(plane.clients):
                if client.exchange is not None:
                    client.exchange.upstream_late()
        else:
            plane.reconfigure(read(line, segment))

    def told() -> None:
        lines = os.read(0, 65536).decode().split()
        if not lines:
            done.set()
        for line in lines:
            try:
                do(line)
                answer = "ok"
            except Exception as error:
                answer = f"refused {error!r}"
            print(answer, flush=True)

    server = door.open(listener)
    loop.add_reader(0, told)
    print("ok", flush=True)
    await done.wait()
    server.close()
    plane.close()


if __name__ == "__main__":
    uvloop.run(serve(Segment.open(sys.argv[1]), int(sys.argv[2]), socket.socket(fileno=int(sys.argv[3])), sys.argv[4]))

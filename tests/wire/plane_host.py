"""Decides how a data plane runs outside a gateway: beside the workers of one, on its segment, for who tells it what.

Run as a program with the segment's path, a worker's slot, a listening socket and the path of a configuration. Every
further path on standard input is one to go over to, "+N" lets N milliseconds go by at once, and "drain" is what the
drain timeout's end is; each is answered with a line.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from typing import Any

import uvloop

from fastgw._segment import Segment
from fastgw.config.load import load
from fastgw.dataplane import plane as plane_module
from fastgw.dataplane.doors import Door
from fastgw.dataplane.plane import Plane
from fastgw.model import Config


class Clock:
    """The module `time` as a plane sees it, whose clock can be moved on."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


def read(path: str, segment: Segment) -> Config:
    """A configuration, with the names in the segment that a plane wants to find there."""
    config = load(path, {}, {})
    for route in config.routes:
        segment.route_slot(route.name)
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

    def do(line: str) -> None:
        if line.startswith("+"):
            clock.ahead_s += int(line) / 1000
            plane.wheel.turn(int(clock.monotonic() * 1000))
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

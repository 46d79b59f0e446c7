"""Decides how much later events arrive through the gateway, with a thousand streams at once on one worker.

    python bench/streams.py [--streams 1000] [--seconds 20] [--rounds 3] [--quick]

Every stream gets an event each 20 to 100 ms, which carries the moment when it was sent; its delay is counted when the
client has read it. Rounds through the gateway and directly alternate. What is added is the difference of the quantiles,
as a median over rounds. Worker and source share a core, and the client has the other, which its thousand streams nearly
fill. Every byte is compared (CRC), and the memory of the worker is told per stream.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import statistics
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import cast

import uvloop
from cpu import cpu_ns, memory
from processes import Process, free_port
from soaked import KEY, gateway

HERE = Path(__file__).parent
SERVER_CPU, LOAD_CPU = 0, 1
QUANTILES = (0.5, 0.9, 0.99, 0.999)
REQUEST = "GET /v1/events?n={number}&ms={ms} HTTP/1.1\r\nHost: bench\r\nx-api-key: {key}\r\n\r\n"


class Listener(asyncio.Protocol):
    """One client; its delays in ns."""

    def __init__(self, request: bytes, delays: list[int]) -> None:
        self.request = request
        self.delays = delays
        self.buffer = b""
        self.crc = 0
        self.fault = ""
        self.head_read = False
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        self.buffer += data
        if not self.head_read:
            head, found, rest = self.buffer.partition(b"\r\n\r\n")
            if not found:
                return
            self.head_read = True
            self.buffer = rest
            if not head.startswith(b"HTTP/1.1 200"):
                self.end(head.decode(errors="replace"))
                return
        while (end := self.buffer.find(b"\r\n")) >= 0:
            size = int(self.buffer[:end], 16)
            if len(self.buffer) < end + size + 4:
                return
            event = self.buffer[end + 2 : end + 2 + size]
            self.buffer = self.buffer[end + size + 4 :]
            if event.startswith(b"data: crc "):
                self.end("" if int(event[10:]) == self.crc else "bytes were changed")
                return
            self.crc = zlib.crc32(event, self.crc)
            self.delays.append(now - int(event[6 : event.index(b" ", 6)]))

    def end(self, fault: str) -> None:
        if not self.done.done():
            self.fault = fault
            self.done.set_result(None)
        self.transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        self.end("cut")


async def listen(port: int, streams: int, seconds: float, seed: int, pids: list[int]) -> dict[str, object]:
    """All streams once; quantiles in µs, faults, and the growth of the memory of `pids` while all were open."""
    loop = asyncio.get_running_loop()
    chance = random.Random(seed)
    delays: list[int] = []
    before = sum(memory(pid).anonymous for pid in pids)
    listeners = []
    for _ in range(streams):
        ms = chance.randint(20, 100)
        request = REQUEST.format(number=max(1, round(seconds * 1000 / ms)), ms=ms, key=KEY).encode()
        _, listener = await loop.create_connection(lambda request=request: Listener(request, delays), "127.0.0.1", port)  # type: ignore[misc]
        listeners.append(listener)
    await asyncio.sleep(seconds / 4)
    delays.clear()  # the crowd at the start is not what is looked at
    spent = sum(cpu_ns(pid) for pid in pids)
    await asyncio.sleep(seconds / 4)
    grown = sum(memory(pid).anonymous for pid in pids) - before
    async with asyncio.timeout(seconds * 3 + 30):
        await asyncio.gather(*(listener.done for listener in listeners))
    faults = sorted({listener.fault for listener in listeners if listener.fault})
    delays.sort()
    return {
        "events": len(delays),
        "us": {str(q): delays[min(len(delays) - 1, int(q * len(delays)))] / 1000 for q in QUANTILES} if delays else {},
        "faults": faults,
        "bytes_per_stream": grown // streams,
        "cpu_us_per_event": (sum(cpu_ns(pid) for pid in pids) - spent) / 1000 / max(1, len(delays)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="20 streams, 2 seconds, one round: that it works")
    parser.add_argument("--json", type=Path, help="write what was measured here too")
    options = parser.parse_args()
    if options.quick:
        options.streams, options.seconds, options.rounds = 20, 2.0, 1
    os.sched_setaffinity(0, {LOAD_CPU})
    results: dict[str, list[dict[str, object]]] = {"direct": [], "fastgw": []}
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fastgw-streams-")))
        source_port = free_port()
        argv = [sys.executable, str(HERE / "event_source.py"), str(source_port)]
        source = stack.enter_context(Process(argv, {SERVER_CPU}, directory / "source.log"))
        source.wait_ready({source_port})
        started = stack.enter_context(gateway(directory, source_port, workers=1, cpus={SERVER_CPU}))
        [worker] = started.pids("worker")
        for round_ in range(options.rounds):
            for name, port, pids in (("direct", source_port, []), ("fastgw", started.port, [worker])):
                found = uvloop.run(listen(port, options.streams, options.seconds, round_, pids))
                results[name].append(found)
                print(name, json.dumps(found), flush=True)
    added = {
        str(q): statistics.median(
            gate["us"][str(q)] - direct["us"][str(q)]  # type: ignore[index]
            for direct, gate in zip(results["direct"], results["fastgw"], strict=True)
        )
        for q in QUANTILES
    }
    faults = [fault for name in results for each in results[name] for fault in cast(list[str], each["faults"])]
    print("added, ms:", {q: round(us / 1000, 3) for q, us in added.items()}, "faults:", faults or "none")
    if options.json:
        options.json.write_text(json.dumps({"streams": options.streams, "added_us": added, **results}, indent=1))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

"""Decides what the service behind the gateway does for streams and soaks: events in time, large answers, broken ones.

    python event_source.py PORT

By path: `/v1/events?n=N&ms=M` sends N events, one every M milliseconds, as chunks; each begins with the clock
(CLOCK_MONOTONIC, ns) of the moment when it is sent, and the last names the CRC of all before. `/v1/large?n=N` answers
with N bytes, `/v1/late?ms=M` after a while, `/v1/cut` breaks in the middle; anything else is answered at once.
"""

import asyncio
import re
import sys
import time
import zlib
from typing import cast

import uvloop

LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
NUMBER = re.compile(rb"[?&](n|ms)=([0-9]+)")
PADDING = b"x" * 120
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
PART = 65536


class Source(asyncio.Protocol):
    """One connection of the gateway's."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.buffer = b""
        self.skip = 0
        self.writable = asyncio.Event()
        self.writable.set()
        self.gone = False
        self.task: asyncio.Task[None] | None = None

    def connection_lost(self, _: Exception | None) -> None:
        self.gone = True
        self.writable.set()
        if self.task is not None:
            self.task.cancel()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while True:
            taken = min(self.skip, len(self.buffer))
            self.skip -= taken
            self.buffer = self.buffer[taken:]
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self.buffer[:end]
            self.buffer = self.buffer[end + 4 :]
            if CHUNKED.search(head):
                end = self.buffer.find(b"0\r\n\r\n")  # the bodies of these benches have no such bytes in them
                if end < 0:
                    self.buffer = head + b"\r\n\r\n" + self.buffer
                    return
                self.buffer = self.buffer[end + 5 :]
            elif length := LENGTH.search(head):
                self.skip = int(length[1])
            self.task = asyncio.get_running_loop().create_task(self.answer(head.split(b" ", 2)[1]))

    async def answer(self, target: bytes) -> None:
        path = target.partition(b"?")[0]
        numbers = {name: int(value) for name, value in NUMBER.findall(target)}
        match path:
            case b"/v1/events":
                Events(self, numbers[b"n"], numbers[b"ms"] / 1000)
            case b"/v1/large":
                self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % numbers[b"n"])
                for start in range(0, numbers[b"n"], PART):
                    await self.writable.wait()
                    if self.gone:
                        return
                    self.transport.write(bytes(min(PART, numbers[b"n"] - start)))
            case b"/v1/late":
                await asyncio.sleep(numbers[b"ms"] / 1000)
                self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")
            case b"/v1/cut":
                self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
                await asyncio.sleep(0.01)
                self.transport.abort()
            case _:
                self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nserved")


class Events:
    """One stream, by a timer and no task: a thousand of them are to leave the core to others."""

    def __init__(self, source: Source, number: int, pause_s: float) -> None:
        self.source = source
        self.left = number
        self.pause_s = pause_s
        self.crc = 0
        self.loop = asyncio.get_running_loop()
        source.transport.write(EVENTS)
        self.due = self.loop.time() + pause_s
        self.loop.call_at(self.due, self.send)

    def send(self) -> None:
        source = self.source
        if source.gone:
            return
        if not source.writable.is_set():  # the other side reads slowly: later
            self.due = self.loop.time() + self.pause_s
            self.loop.call_at(self.due, self.send)
            return
        if self.left == 0:
            last = b"data: crc %d\n\n" % self.crc
            source.transport.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(last), last))
            return
        self.left -= 1
        event = b"data: %d %b\n\n" % (time.monotonic_ns(), PADDING)
        self.crc = zlib.crc32(event, self.crc)
        source.transport.write(b"%x\r\n%b\r\n" % (len(event), event))
        self.due += self.pause_s
        self.loop.call_at(self.due, self.send)


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Source, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))

"""The service behind the gateway: a process of its own that counts every call that reaches it.

`python upstream.py`: listens on a free port of 127.0.0.1 and prints the port. A target may ask for a pause before
the answer (`?ms=1500`), or between its two halves (`?half_ms=1500`). `/-/count` tells the calls since `/-/reset` was
last asked, and `/-/headers` the head of the last call; these are not counted.
"""

import asyncio
import re
from typing import ClassVar, cast

import uvloop

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
ANSWER = b"served\n"
LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
PAUSE = re.compile(rb"[?&](ms|half_ms)=([0-9]+)")


class Service(asyncio.Protocol):
    """One connection; requests have a Content-Length or no body."""

    calls: ClassVar[int] = 0
    last_head: ClassVar[bytes] = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end]
            match = LENGTH.search(head)
            whole = end + 4 + (int(match[1]) if match else 0)
            if len(self.buffer) < whole:
                return
            self.buffer = self.buffer[whole:]
            self.serve(head)

    def serve(self, head: bytes) -> None:
        target = head.split(b" ", 2)[1]
        if target.startswith(b"/-/"):
            if target == b"/-/headers":
                self.answer(Service.last_head)
                return
            self.answer(b"%d" % Service.calls)
            if target == b"/-/reset":
                Service.calls = 0
            return
        Service.calls += 1
        Service.last_head = head
        pauses = {kind: int(ms) / 1000 for kind, ms in PAUSE.findall(target)}
        loop = asyncio.get_running_loop()
        if pause := pauses.get(b"ms"):
            loop.call_later(pause, self.answer, ANSWER)
        elif pause := pauses.get(b"half_ms"):
            self.transport.write(HEAD % len(ANSWER) + ANSWER[:3])
            loop.call_later(pause, self.write, ANSWER[3:])
        else:
            self.answer(ANSWER)

    def answer(self, body: bytes) -> None:
        self.write(HEAD % len(body) + body)

    def write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Service, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())

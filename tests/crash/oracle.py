"""The service behind the gateway, which keeps books of its own: what every caller has been served, and what it cost.

`python oracle.py`: listens on a free port of 127.0.0.1 and prints the port. `/v1/fixed/NAME` costs what the route says,
`/v1/metered/NAME` an amount that differs from call to call and is named in `X-Cost`; both say it in the body too.
`/-/books` answers {NAME: [calls, nanos]}. What it writes down, it writes down before it answers.
"""

import asyncio
import json
import re
from typing import ClassVar, cast

import uvloop

FIXED = 1_000_000
HOLD = 10_000_000  # the metered route's
LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


def decimal(nanos: int) -> str:
    """Nanos as decimal money."""
    return f"{nanos // 10**9}.{nanos % 10**9:09d}"


class Service(asyncio.Protocol):
    """One connection; requests have a Content-Length or no body."""

    books: ClassVar[dict[str, list[int]]] = {}
    served: ClassVar[int] = 0

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
            self.serve(head.split(b" ", 2)[1].decode())

    def serve(self, target: str) -> None:
        if target == "/-/books":
            self.answer(json.dumps(Service.books).encode())
            return
        _, _, kind, name = target.split("/")
        Service.served += 1
        # A number that follows from the call's own, so that a run can be told from its seed.
        cost = FIXED if kind == "fixed" else Service.served * 7919 % HOLD + 1
        page = Service.books.setdefault(name, [0, 0])
        page[0] += 1
        page[1] += cost
        self.answer(b'{"cost":%d}' % cost, b"X-Cost: %b\r\n" % decimal(cost).encode() if kind == "metered" else b"")

    def answer(self, body: bytes, lines: bytes = b"") -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n" % (lines, len(body))
        if not self.transport.is_closing():
            self.transport.write(head + body)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Service, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())

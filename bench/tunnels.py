"""What a message through a WebSocket costs the gateway: microseconds of CPU, beside nginx, in turns.

    python bench/tunnels.py [--quick] [--rounds N]

Closed loops: each of 64 tunnels sends one binary frame and waits for its echo, so that a turn is two messages. Both
gateways have one worker; fastgw runs with key, price, call log and ledger on, with and without a price of bytes, nginx
with `proxy_pass` and the two lines for upgrades. CPU time is user + system of the whole process tree, from the kernel's
own accounting, the median of the rounds. The echo and the load are processes of their own.
"""

import argparse
import asyncio
import contextlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import cpu
import uvloop
from processes import free_port

TUNNELS = 64
SIZES = (125, 16_384)
HEAD = (
    b"GET /%b/x HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: Bearer sk-bench-0001\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n\r\n"
)
NGINX = """
daemon off; worker_processes 1; pid {directory}/nginx.pid; error_log {directory}/error.log crit;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {directory}/b; proxy_temp_path {directory}/p; fastcgi_temp_path {directory}/f;
    scgi_temp_path {directory}/s; uwsgi_temp_path {directory}/u;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{upstream}; proxy_http_version 1.1; proxy_read_timeout 3600s;
            proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
        }}
    }}
}}
"""
FASTGW = """
[server]
listen = "127.0.0.1:{port}"
admin = "off"
workers = 1
state_dir = "{directory}/state"
segment_dir = "{directory}"
[[upstreams]]
name = "echo"
targets = ["http://127.0.0.1:{upstream}"]
[[routes]]
name = "call"
path = "/call/"
upstream = "echo"
price = "0.001"
[[routes]]
name = "bytes"
path = "/bytes/"
upstream = "echo"
price = "0.001"
mib_price = "0.0001"
[[accounts]]
name = "bench"
balance = "1000000"
[[keys]]
account = "bench"
key = "sk-bench-0001"
"""


class Echo(asyncio.Protocol):
    """Answers the handshake, then says everything back."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.open = False

    def data_received(self, data: bytes) -> None:
        self.transport.write(data if self.open else SWITCHING)
        self.open = True


async def echo(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port)
    await server.serve_forever()


class Load(asyncio.Protocol):
    """One tunnel in a closed loop."""

    def __init__(self, message: bytes, route: bytes) -> None:
        self.message = message
        self.route = route
        self.turns = self.got = 0
        self.opened = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(HEAD % self.route)

    def data_received(self, data: bytes) -> None:
        if not self.opened.done():
            assert data.startswith(b"HTTP/1.1 101 "), data
            self.opened.set_result(None)
            self.transport.write(self.message)
            return
        self.got += len(data)
        if self.got == len(self.message):
            self.got = 0
            self.turns += 1
            self.transport.write(self.message)


async def spend(port: int, root: int, size: int, route: bytes, seconds: float) -> float:
    """Microseconds of CPU of the processes of `root` for a message of so many bytes."""
    head = bytes((0x82, size - 2)) if size < 128 else b"\x82\x7e" + (size - 4).to_bytes(2, "big")
    message = head + bytes(size - len(head))
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: Load(message, route), "127.0.0.1", port) for _ in range(TUNNELS)]
    for _, load in made:
        await asyncio.wait_for(load.opened, 10)
    await asyncio.sleep(seconds / 4)
    before, turns = cpu.snapshot(root), sum(load.turns for _, load in made)
    await asyncio.sleep(seconds)
    after, done = cpu.snapshot(root), sum(load.turns for _, load in made) - turns
    for transport, _ in made:
        transport.abort()
    await asyncio.sleep(0.1)
    return cpu.spent_ns(before, after) / 1000 / (2 * done)


@contextlib.contextmanager
def running(argv: list[str], port: int) -> Iterator[int]:
    """A process that serves on `port`; its pid."""
    process = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)


def started(stack: contextlib.ExitStack, directory: Path) -> list[tuple[str, int, int, bytes]]:
    """Title, port, pid and route of each contender."""
    upstream, port, other = free_port(), free_port(), free_port()
    stack.enter_context(running([sys.executable, __file__, "--echo", str(upstream)], upstream))
    (directory / "nginx.conf").write_text(NGINX.format(directory=directory, port=port, upstream=upstream))
    (directory / "fastgw.toml").write_text(FASTGW.format(directory=directory, port=other, upstream=upstream))
    nginx = ["nginx", "-p", str(directory), "-e", str(directory / "error.log"), "-c", str(directory / "nginx.conf")]
    fastgw = [sys.executable, "-m", "fastgw", "serve", "-c", str(directory / "fastgw.toml")]
    first = stack.enter_context(running(nginx, port))
    second = stack.enter_context(running(fastgw, other))
    time.sleep(1)
    return [
        ("nginx", port, first, b"call"),
        ("fastgw, a price for the connection", other, second, b"call"),
        ("fastgw, a price for the bytes", other, second, b"bytes"),
    ]


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one short round, to see that it works")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--echo", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.echo:
        uvloop.run(echo(options.echo))
    rounds, seconds = (1, 0.2) if options.quick else (options.rounds, 1.0)
    with tempfile.TemporaryDirectory(prefix="fastgw-bench-", dir="/dev/shm") as folder, contextlib.ExitStack() as stack:
        contenders = started(stack, Path(folder))
        seen: dict[tuple[str, int], list[float]] = {}
        for _ in range(rounds):
            for size in SIZES:
                for title, port, root, route in contenders:
                    seen.setdefault((title, size), []).append(uvloop.run(spend(port, root, size, route, seconds)))
    print("| µs of CPU per message | " + " | ".join(f"{size:,} bytes" for size in SIZES) + " |")
    print("|---|" + "---:|" * len(SIZES))
    for title, *_ in contenders:
        cells = (f"{statistics.median(seen[title, size]):.2f}" for size in SIZES)
        print(f"| {title} | " + " | ".join(cells) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Small servers for these tests: one that answers DNS as it is told, and one that answers a health check."""

import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from fastgw.discovery.hosts import Hosts
from fastgw.discovery.resolver import Resolver


class Dns:
    """A name server for loopback: `zone` has (ttl, records) by "name. TYPE"; who is not there does not exist."""

    def __init__(self) -> None:
        self.zone: dict[str, tuple[int, tuple[str, ...]]] = {}
        self.asked: list[str] = []
        self.silent = False
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def set(self, name: str, kind: str, *records: str, ttl: int = 60) -> None:
        self.zone[f"{name}. {kind}"] = (ttl, records)

    def resolver(self, directory: Path, hosts: str = "", conf: str = "") -> Resolver:
        """One that asks here, with these files of the machine."""
        (directory / "hosts").write_text(hosts)
        (directory / "resolv.conf").write_text(conf)
        return Resolver(self.address, Hosts(str(directory / "hosts")), str(directory / "resolv.conf"))

    def _serve(self) -> None:
        while True:
            try:
                data, peer = self.socket.recvfrom(4096)
            except OSError:
                return
            if not data:
                return
            if not self.silent:
                self.socket.sendto(self._answer(dns.message.from_wire(data)), peer)

    def _answer(self, query: dns.message.Message) -> bytes:
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        name, kind = query.question[0].name.to_text(), dns.rdatatype.to_text(query.question[0].rdtype)
        self.asked.append(f"{name} {kind}")
        found = self.zone.get(f"{name} {kind}")
        if found is not None:
            answer.answer.append(dns.rrset.from_text(name, found[0], "IN", kind, *found[1]))
        elif not any(key.startswith(f"{name} ") for key in self.zone):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        return answer.to_wire()

    def __enter__(self) -> "Dns":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self.socket.getsockname())
        self.thread.join()
        self.socket.close()


class Checked:
    """A server that is asked how it is; `status` is what it answers, `paths` what it was asked for."""

    def __init__(self) -> None:
        self.status = 200
        self.paths: list[tuple[str, str]] = []
        checked = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                checked.paths.append((self.path, self.headers["Host"]))
                self.send_response(checked.status)
                self.end_headers()
                self.wfile.write(b"how it is, at length\n" * 10_000)

            def log_message(self, *_: Any) -> None:
                """What was asked is in `paths`."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        self.name = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.name}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def eventually(true: Callable[[], object], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, f"not within {within_s} s"
        time.sleep(0.01)

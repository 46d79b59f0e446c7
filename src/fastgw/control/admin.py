"""Decides what the admin address answers: is it alive, is it ready, what has it counted. Never on the data port."""

import errno
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from .._segment import Segment
from ..addresses import split_listen
from ..instance import family_of, port_holder
from ..model import Config
from ..states import WorkerState
from .metrics import SegmentCollector


class AdminServer(ThreadingHTTPServer):
    """Serves /livez, /readyz and /metrics. Raises OSError when the address cannot be bound."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: str, segment: Segment, config: Config) -> None:
        host, port = split_listen(address)
        self.address_family = family_of(host)
        self.dual_stack = not host
        self.segment = segment
        self.workers = config.server.workers
        self.registry = CollectorRegistry()
        self.registry.register(SegmentCollector(segment))
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            reason = f"in use by {port_holder(port)}" if error.errno == errno.EADDRINUSE else error.strerror
            raise OSError(f"cannot serve the admin address {address}: {reason}; choose another --admin") from None

    def server_bind(self) -> None:
        """Bind, and nothing else: the class above would ask the DNS for this machine's name."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if self.dual_stack else 1)
        TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is no error of ours."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def unready(self) -> str:
        """Why no traffic should be sent here, or nothing."""
        ready = sum(self.segment.worker(index)["state"] == WorkerState.READY for index in range(self.workers))
        return "" if ready == self.workers else f"{ready} of {self.workers} workers are ready"


class _Handler(BaseHTTPRequestHandler):
    server: AdminServer
    server_version = "fastgw"
    sys_version = ""
    timeout = 10

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/livez":
            self._answer(200, "text/plain; charset=utf-8", b"ok\n")
        elif path == "/readyz":
            reason = self.server.unready()
            self._answer(503 if reason else 200, "text/plain; charset=utf-8", f"{reason or 'ok'}\n".encode())
        elif path == "/metrics":
            encode, media = choose_encoder(self.headers.get("accept", ""))
            self._answer(200, media, encode(self.server.registry))
        else:
            self._answer(404, "text/plain; charset=utf-8", b"/livez /readyz /metrics\n")

    do_HEAD = do_GET

    def _answer(self, status: int, media: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Scrapes are not worth a line."""

"""An admin API that answers what it is told to, for commands that run in the process of the tests."""

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

TOKEN = "fastgw_admin_of_the_tests"
CLOSE = "close"  # an answer that never comes: the connection is closed

ACCOUNT = {
    "name": "acme", "origin": "api", "status": "active", "plan": "gold", "credit": "5", "expires": None,
    "balance": "25.5", "held": "0.25", "available": "30.25", "created": "2026-11-20T08:00:00.123456Z",
    "quotas": [
        {"window": "day", "limit": 1000, "used": 250, "held": 2, "resets_at": "2026-11-21T00:00:00Z"},
        {"window": "month", "limit": 20000, "used": 4100, "held": 0, "resets_at": "2026-12-01T00:00:00Z"},
    ],
}  # fmt: skip
KEY = {
    "id": "key_0123456789abcdef", "account": "acme", "name": "ci", "hint": "wXyZ", "origin": "api", "status": "active",
    "rate": "10/s", "burst": 20, "budget": "5", "budget_period": "day", "budget_used": "1.5", "expires": None,
    "created": "2026-11-20T08:00:00Z",
}  # fmt: skip
ENTRY = {
    "id": 7, "account": "acme", "kind": "topup", "amount": "25", "at": "2026-11-20T08:00:00.5Z",
    "reference": "invoice-17", "note": "", "expires": None,
}  # fmt: skip


class Asked(dict[str, Any]):
    """One request as it came: method, path, query, headers (lower case), body."""


class Gateway:
    """Answers each "METHOD /path" with its list of (status, body) in turn, the last one for ever."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Any]] = {}
        self.asked: list[Asked] = []
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                gateway.answer(self)

            do_GET = do_POST = do_PATCH = answer

            def log_message(self, *_: Any) -> None:
                """Requests are in `asked`."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def on(self, what: str, *answers: Any) -> None:
        """Bodies, for 200; (status, body); or CLOSE."""
        self.answers[what] = list(answers)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        url = urlsplit(handler.path)
        sent = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        self.asked.append(
            Asked(
                method=handler.command,
                path=url.path,
                query=dict(parse_qsl(url.query)),
                headers={name.lower(): value for name, value in handler.headers.items()},
                body=json.loads(sent) if sent else None,
            )
        )
        found = self.answers.get(f"{handler.command} {url.path}", [(404, {"detail": f"no {url.path}"})])
        answer = found.pop(0) if len(found) > 1 else found[0]
        if answer == CLOSE:
            handler.close_connection = True
            return
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


Run = Callable[..., tuple[int, str, str]]


def page(*items: Any, next: Any = None) -> dict[str, Any]:
    return {"items": list(items), "next": next}


def rows(out: str) -> list[list[str]]:
    """The words of each line."""
    return [line.split() for line in out.splitlines()]

"""Targets that come and go while the keeper is killed and the program is replaced: no call fails for it."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from gateway import Gateway, eventually, get, table
from test_upgrade import renewed, upgrade

pytestmark = pytest.mark.slow  # whole gateways, one a test


class Named:
    """A server that answers with its name."""

    def __init__(self, name: str) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(name)))
                self.end_headers()
                self.wfile.write(name.encode())

            def log_message(self, *_: Any) -> None:
                """Nobody reads it."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def named() -> Iterator[list[Named]]:
    found = [Named(name) for name in ("one", "two", "three")]
    yield found
    for each in found:
        each.server.shutdown()
        each.server.server_close()


class Calling:
    """Calls all the time, and remembers what it was answered."""

    def __init__(self, gateway: Gateway) -> None:
        self.answers: list[tuple[int, str]] = []
        self.going = True
        self.gateway = gateway
        self.thread = threading.Thread(target=self._call, daemon=True)
        self.thread.start()

    def _call(self) -> None:
        while self.going:
            try:
                self.answers.append(get(f"{self.gateway.url}/v1/"))
            except (OSError, HTTPException):
                self.answers.append((0, ""))
            time.sleep(0.005)

    def lately(self, *names: str) -> bool:
        """Whether the last calls have been answered by all of these, and by no other."""
        return {body for _, body in self.answers[-12:]} == set(names)

    def stop(self) -> None:
        self.going = False
        self.thread.join()


def test_no_call_fails_while_targets_change_and_the_keeper_is_killed_and_the_program_replaced(
    gateway: Gateway, named: list[Named]
) -> None:
    one, two, three = named
    file = gateway.directory / "targets.txt"

    def write(*targets: str) -> None:
        file.with_suffix(".new").write_text("\n".join(targets))
        os.replace(file.with_suffix(".new"), file)

    write(one.url)
    gateway.file.write_text(
        table("upstreams", name="service", targets_file=str(file))
        + table("routes", name="api", path="/v1/", upstream="service", auth="none", price="0")
    )
    gateway.start()
    calling = Calling(gateway)
    eventually(lambda: calling.lately("one"))
    write(one.url, f"{two.url} weight=2")
    eventually(lambda: calling.lately("one", "two"))
    keeper = gateway.children()["keeper"]
    os.kill(keeper, signal.SIGKILL)
    write(two.url)
    eventually(lambda: calling.lately("two"), 15)
    assert gateway.children()["keeper"] != keeper
    os.kill(gateway.children()["worker 0"], signal.SIGKILL)
    eventually(lambda: len(gateway.workers()) == 2 and gateway.ready(), 15)
    calls = len(calling.answers)
    eventually(lambda: len(calling.answers) > calls + 20)
    assert calling.lately("two"), "a new worker has the newest roster"
    old = gateway.children()
    upgrade(gateway)
    write(two.url, three.url)
    eventually(lambda: renewed(gateway, old, 2), 15)
    eventually(lambda: calling.lately("two", "three"), 15)
    calling.stop()
    refused = [answer for answer in calling.answers if answer[0] != 200]
    assert refused in ([], [(0, "")]), "but for a call that the killed worker had"
    assert "Traceback" not in gateway.log()

"""Where the admin server listens, what it says when it cannot, and that the gateway does not wait for it."""

import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from admin_rig import Parts, Served, eventually
from ports import free_port

from fastgw.control import serving
from fastgw.control.server import AdminServer

if TYPE_CHECKING:
    import uvicorn


@pytest.mark.parametrize(
    ("address", "answering"),
    [("127.0.0.1", ["127.0.0.1"]), ("[::1]", ["[::1]"]), ("", ["127.0.0.1", "[::1]"]), ("localhost", ["127.0.0.1"])],
)
def test_it_listens_where_it_is_told(tmp_path: Path, address: str, answering: list[str]) -> None:
    found = Served(tmp_path, address)
    try:
        for host in ("127.0.0.1", "[::1]"):
            if host in answering:
                assert httpx.get(f"http://{host}:{found.port}/livez", timeout=5).text == "ok\n"
            else:
                with pytest.raises(httpx.ConnectError):
                    httpx.get(f"http://{host}:{found.port}/livez", timeout=5)
    finally:
        found.stop()


def test_an_address_that_is_taken_is_refused_naming_the_holder(tmp_path: Path) -> None:
    port = free_port()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", port))
        holder.listen()
        message = f"cannot serve the admin address 127.0.0.1:{port}: in use by process .*; choose another --admin"
        with pytest.raises(OSError, match=message):
            AdminServer(f"127.0.0.1:{port}", Parts(tmp_path).services(tmp_path))


def test_an_address_of_another_machine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"cannot serve the admin address 192\.0\.2\.1:8081: Cannot assign"):
        AdminServer("192.0.2.1:8081", Parts(tmp_path).services(tmp_path))


def test_who_comes_while_the_framework_is_loaded_is_answered_when_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bound when it is made; what asks before `start` waits in the socket's queue."""
    loaded = threading.Event()
    make_server = serving.make_server

    def slowly(*arguments: Any) -> "uvicorn.Server":
        assert loaded.wait(10)
        return make_server(*arguments)

    monkeypatch.setattr(serving, "make_server", slowly)
    port = free_port()
    server = AdminServer(f"127.0.0.1:{port}", Parts(tmp_path).services(tmp_path))
    with socket.create_connection(("127.0.0.1", port), timeout=10) as early:
        early.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        server.start()
        loaded.set()
        assert early.recv(65536).startswith(b"HTTP/1.1 200 OK")
    server.stop()


def test_it_may_be_stopped_before_it_served(tmp_path: Path) -> None:
    for delay_s in (0.0, 0.05):
        directory = tmp_path / f"{delay_s}"
        directory.mkdir()
        found = Served(directory)
        time.sleep(delay_s)
        found.stop()
        assert not found.server.thread.is_alive()


def test_the_keeper_does_not_import_the_framework_before_it_serves() -> None:
    code = "import sys; import fastgw.control.server; print([m for m in ('litestar', 'uvicorn') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout == "[]\n"


def test_a_defect_is_said_to_operators_and_not_to_who_asked(
    served: Served, parts: Parts, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a detail for operators")

    monkeypatch.setattr(parts.books, "accounts", broken)
    answer = served("GET", "/v1/accounts")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "operators" not in answer.text
    eventually(lambda: "RuntimeError: a detail for operators" in capfd.readouterr().err)
    assert served("GET", "/v1/plans").status_code == 200


def test_every_answer_forbids_that_it_is_kept(served: Served) -> None:
    for path in ("/livez", "/v1/plans", "/v1/nothing", "/openapi.json"):
        for client in (served.client, served.stranger):
            assert client.get(path).headers["cache-control"] == "no-store"

"""Who may speak to the admin API, and how much, and how long."""

import contextlib
import os
import socket
import stat
import time
from pathlib import Path

import httpx
import pytest
from admin_rig import Served, eventually

from fastgw.control import protocol
from fastgw.control.token import admin_token, read_token, token_path


def raw(served: Served, data: bytes, *, wait_s: float = 5.0) -> bytes:
    """Everything that is answered until the server closes, or nothing more comes."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=wait_s) as client:
        client.sendall(data)
        answer = b""
        try:
            while part := client.recv(65536):
                answer += part
        except (TimeoutError, ConnectionResetError):
            pass
        return answer


def send_slowly(client: socket.socket, part: bytes, times: int) -> None:
    for _ in range(times):
        client.sendall(part)
        time.sleep(0.001)


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "/v1/accounts/", "/v2", "/openapi.json", "/schema", "/metrics/",
                                  "/%6detrics/x", "//metrics", "/livez/../v1/accounts"])  # fmt: skip
def test_nothing_else_answers_without_the_token(served: Served, path: str) -> None:
    answer = raw(served, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 401 "), path
    assert b'"code":"unauthorized"' in answer


@pytest.mark.parametrize("value", ["", "Bearer", "bearer {}x", "Bearer {}, Bearer {}", "Token {}", "Bearer é", "{}"])
def test_a_token_is_right_or_wrong_and_never_nearly_right(served: Served, value: str) -> None:
    headers = {b"Authorization": value.replace("{}", served.server.token).encode("latin-1")}
    answer = served.stranger.get("/v1/plans", headers=headers)
    assert answer.status_code == 401
    assert served.server.token not in answer.text


def test_a_scheme_is_read_in_any_case(served: Served) -> None:
    for scheme in ("Bearer", "bearer", "BEARER"):
        headers = {"Authorization": f"{scheme} {served.server.token}"}
        assert served.stranger.get("/v1/plans", headers=headers).status_code == 200


def test_two_tokens_are_none(served: Served) -> None:
    field = f"Authorization: Bearer {served.server.token}\r\n"
    head = f"GET /v1/plans HTTP/1.1\r\nHost: localhost\r\n{field}{field}Connection: close\r\n\r\n"
    assert raw(served, head.encode()).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("path", ["/metrics", "/v1/plans", "/livez"])
@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://localhost"},
     {"Sec-Fetch-Site": "same-site"}],
)  # fmt: skip
def test_a_web_page_is_refused_whatever_it_has(served: Served, path: str, headers: dict[str, str]) -> None:
    answer = served("GET", path, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "browser_refused")
    preflight = served("OPTIONS", path, headers={**headers, "Access-Control-Request-Method": "GET"})
    assert preflight.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_a_person_may_look_at_the_metrics(served: Served) -> None:
    assert served.stranger.get("/metrics", headers={"Sec-Fetch-Site": "none"}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "a b", "",
                                  "evil.example#localhost", "[::1", "localhost:80:80"])  # fmt: skip
def test_on_the_loopback_interface_a_strange_host_is_another_pages_trick(served: Served, host: str) -> None:
    for path in ("/metrics", "/v1/plans"):
        answer = served("GET", path, headers={"Host": host})
        assert (answer.status_code, answer.json()["code"]) == (421, "wrong_host"), path


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1", "[::1]:8081", "192.0.2.1", "gw.localhost"])
def test_a_host_that_means_this_machine_is_right(served: Served, host: str) -> None:
    assert served("GET", "/v1/plans", headers={"Host": host}).status_code == 200


def test_head_is_get_without_a_body(served: Served) -> None:
    for path in ("/livez", "/metrics", "/v1/plans"):
        answer = served("HEAD", path)
        assert (answer.status_code, answer.content) == (200, b"")
        assert int(answer.headers["content-length"]) > 0


def test_a_method_that_a_resource_does_not_take_is_said(served: Served) -> None:
    for method, path, allowed in (("DELETE", "/v1/accounts", {"GET", "POST"}), ("POST", "/v1/plans", {"GET"})):
        answer = served(method, path)
        assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
        assert allowed <= {name.strip() for name in answer.headers["allow"].split(",")}
    assert served("GET", "/v1/nothing").json()["code"] == "not_found"


def test_a_body_is_json_and_says_so_and_has_an_end(served: Served) -> None:
    def post(content: bytes | None, media: str = "application/json") -> tuple[int, str]:
        headers = {"Content-Type": media} if media else {}
        answer = served("POST", "/v1/accounts", content=content, headers=headers)
        return answer.status_code, answer.json()["code"]

    body = b'{"name": "bodied"}'
    for media in ("", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        assert post(body, media) == (415, "unsupported_media_type"), media
    for wrong in (b"", b"{", b"[]", b"null", b"\xff", b'{"name": "\xff"}', b'{"name": "\\ud800"}', b"[" * 60_000,
                  b'{"name": "bodied"} {}', b'{"Name": "bodied"}', b'{"name": "bodied", "balance": "5"}'):  # fmt: skip
        assert post(wrong) == (400, "invalid_request"), wrong[:30]
    assert post(body + b" " * 65_536) == (413, "body_too_large")
    assert "bodied" not in served.parts.books.book


def test_a_body_of_unknown_length_is_bounded_too(served: Served) -> None:
    def parts() -> object:
        for _ in range(3):
            yield b" " * 30_000

    answer = served("POST", "/v1/accounts", content=parts(), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_a_head_without_end_is_cut(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as client:
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            send_slowly(client, b"x" * 4_096, 1_000)


def test_who_asks_for_nothing_keeps_nobody_out_and_is_sent_away(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "REQUEST_TIMEOUT_S", 0.3)
    silent = [socket.create_connection(("127.0.0.1", served.port), timeout=5) for _ in range(50)]
    slow = socket.create_connection(("127.0.0.1", served.port), timeout=5)
    slow.sendall(b"POST /v1/accounts HTTP/1.1\r\nHost: localhost\r\nContent-Le")
    assert httpx.get(f"{served.url}/livez", timeout=2).status_code == 200
    for client in (*silent, slow):
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""
        client.close()


def test_there_are_only_so_many_connections(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    assert served.server.server is not None
    there = len(served.server.server.server_state.connections)  # which other tests have left open
    monkeypatch.setattr(protocol, "CONNECTIONS_MAX", there + 5)
    with httpx.Client(base_url=served.url) as client:
        assert client.get("/livez").status_code == 200
        others = [socket.create_connection(("127.0.0.1", served.port), timeout=5) for _ in range(20)]
        assert client.get("/livez").status_code == 200  # who is there stays
        refused = 0
        for other in others:
            other.settimeout(0.2)
            try:
                refused += other.recv(1) == b""
            except ConnectionResetError:
                refused += 1
            except TimeoutError:
                pass
            other.close()
        assert refused >= 15


def test_the_token_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    state_dir = tmp_path / "state"
    before = os.umask(0o000)
    try:
        token = admin_token(str(state_dir))
    finally:
        os.umask(before)
    path = Path(token_path(str(state_dir)))
    assert path == state_dir / "admin-token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == f"{token}\n"
    assert len(token) >= 43
    assert admin_token(str(state_dir)) == token
    assert admin_token(str(tmp_path / "other")) != token
    assert [entry.name for entry in state_dir.iterdir()] == ["admin-token"]


def test_a_token_that_others_could_have_read_is_not_taken(tmp_path: Path) -> None:
    admin_token(str(tmp_path))
    path = tmp_path / "admin-token"
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        with pytest.raises(OSError, match=f"{path} has mode 0{mode:o}.*remove the file"):
            read_token(str(path))


@pytest.mark.parametrize("text", ["", "short", "two words of enough length", "\0" * 40, "é" * 40, "x" * 600])
def test_a_file_that_holds_no_token_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "admin-token"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(OSError, match="holds no token"):
        admin_token(str(tmp_path))


def test_two_that_start_at_once_have_one_token(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: admin_token(str(tmp_path)), range(8)))) == 1


def test_the_server_stops_when_it_is_told(tmp_path: Path) -> None:
    found = Served(tmp_path)
    eventually(lambda: found.stranger.get("/livez").status_code == 200)
    begun = time.monotonic()
    found.stop()
    assert time.monotonic() - begun < 5
    with pytest.raises(OSError):  # noqa: PT011
        socket.create_connection(("127.0.0.1", found.port), timeout=1)

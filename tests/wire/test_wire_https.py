"""Upstreams over TLS: who is believed, what is shown and kept, and that a call ends as it would without."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .certificates import Authority
from .client import Answer, Client, TruncatedError
from .conftest import NewHost
from .framing import request
from .oracle import Oracle, Script, Talk
from .rig import Gateway, Host, eventually

PRICE = 1_000_000  # nanos
NAME = "api.wire.example"


def config(oracle: Oracle | int, tls: str, server: str = "", prices: str = 'price = "0.001"') -> str:
    """One HTTPS upstream on this machine, and one route to it."""
    port = oracle if isinstance(oracle, int) else oracle.port
    return (
        f'[server]\n{server}\n[[upstreams]]\nname = "secure"\n'
        f'targets = ["https://127.0.0.1:{port}"]\ntls = {{ {tls} }}\n'
        '[[accounts]]\nname = "rich"\nbalance = "1"\n[[keys]]\naccount = "rich"\nkey = "sk-wire-rich-0001"\n'
        f'[[routes]]\nname = "api"\npath = "/v1/"\nupstream = "secure"\n{prices}\n'
    )


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def secure(authority: Authority) -> Iterator[Oracle]:
    """An upstream that is `NAME` and 127.0.0.1 by a certificate of `authority`."""
    with Oracle(authority.server(authority.issue(NAME, "127.0.0.1"))) as oracle:
        yield oracle
        assert oracle.violations() == []


def call(host: Host, name: str = "x", method: str = "GET", *fields: bytes, body: bytes = b"") -> Answer:
    with host.connect() as client:
        client.send(request(f"{method} /v1/{name} HTTP/1.1".encode(), *fields, body=body))
        return client.read(method)


def test_a_target_is_verified_by_its_address_and_no_name_is_said(
    terms: Gateway, new_host: NewHost, secure: Oracle, authority: Authority
) -> None:
    said: list[str | None] = []
    assert secure.context is not None
    secure.context.sni_callback = lambda _, name, __: said.append(name)
    host = new_host(config(secure, f'ca = "{authority.file}"'))
    before = terms.captured("rich")
    peer: list[ssl.SSLSocket] = []

    def script(talk: Talk) -> None:
        assert isinstance(talk.socket, ssl.SSLSocket)
        peer.append(talk.socket)
        talk.answer(200, b"hello")

    with secure.script(script) as name:
        assert call(host, name).body == b"hello"
        assert said == [None]
        assert peer[0].version() == "TLSv1.3"
        assert secure.named(name)[0].one("host") == f"127.0.0.1:{secure.port}"
    assert terms.captured("rich") == before + PRICE


def test_a_server_name_is_said_and_verified_and_a_plain_protocol_agreed(
    new_host: NewHost, secure: Oracle, authority: Authority
) -> None:
    said: list[str | None] = []
    agreed: list[str | None] = []
    assert secure.context is not None
    secure.context.sni_callback = lambda _, name, __: said.append(name)
    secure.context.set_alpn_protocols(["h2", "http/1.1"])

    def script(talk: Talk) -> None:
        assert isinstance(talk.socket, ssl.SSLSocket)
        agreed.append(talk.socket.selected_alpn_protocol())
        talk.answer()

    host = new_host(config(secure, f'ca = "{authority.file}", server_name = "{NAME}"'))
    with secure.script(script) as name:
        assert call(host, name).status == 200
    assert (said, agreed) == ([NAME], ["http/1.1"])


def expired(authority: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    authority.authority.issue_cert("127.0.0.1", not_before=past, not_after=past.replace(year=2021)).configure_cert(
        context
    )
    return context


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("name", ["Hostname mismatch", "tls.server_name"]),
        ("address", ["IP address mismatch", "tls.server_name"]),
        ("issuer", ["unable to get local issuer certificate", "tls.ca"]),
        ("expired", ["certificate has expired", "renew"]),
        ("system", ["unable to get local issuer certificate", "tls.ca"]),
    ],
)
def test_who_cannot_prove_itself_gets_nothing_and_costs_nothing(
    terms: Gateway, new_host: NewHost, authority: Authority, tmp_path: Path, what: str, words: list[str]
) -> None:
    context = authority.server(authority.issue("127.0.0.1" if what == "name" else "other.example"))
    tls = f'ca = "{authority.file}"'
    if what == "name":
        tls += f', server_name = "{NAME}"'
    elif what == "issuer":
        stranger = Authority(tmp_path, "stranger")
        context = stranger.server(stranger.issue("127.0.0.1"))
    elif what == "expired":
        context = expired(authority)
    elif what == "system":
        tls = f'server_name = "{NAME}"'
    before = terms.captured("rich")
    with Oracle(context) as oracle:
        host = new_host(config(oracle, tls))
        for method in ("GET", "POST", "GET"):
            answer = call(host, "x", method, b"Content-Length: 3", body=b"abc")
            assert (answer.status, answer.all("retry-after")) == (502, ["10"])
            assert b'"code":"upstream_untrusted"' in answer.body
        assert oracle.arrivals == []
        host.reconfigure(config(oracle, "verify = false"))
        assert call(host).status == 200
    assert terms.captured("rich") == before + PRICE
    said = host.errors.read_text()
    assert said.count("\n") == 1, said  # once a minute
    assert f"upstream secure: 127.0.0.1:{oracle.port}: its certificate is not trusted" in said
    for word in words:
        assert word in said


def test_a_target_may_ask_who_is_calling(new_host: NewHost, authority: Authority) -> None:
    us = authority.issue(common_name="fastgw of the tests")
    subjects: list[object] = []

    def script(talk: Talk) -> None:
        assert isinstance(talk.socket, ssl.SSLSocket)
        subjects.append(dict(talk.socket.getpeercert() or {})["subject"])
        talk.answer()

    trust = f'ca = "{authority.file}"'
    with Oracle(authority.server(authority.issue("127.0.0.1"), client_ca=authority)) as oracle:
        host = new_host(config(oracle, f'{trust}, certificate = "{us.certificate}", key = "{us.key}"'))
        with oracle.script(script) as name:
            assert call(host, name).status == 200
            assert "fastgw of the tests" in str(subjects)
            host.reconfigure(config(oracle, trust))
            answer = call(host, name)
        # With TLS 1.3 the handshake is over for us before the target has looked: it may have had the request.
        assert (answer.status, answer.all("x-should-retry")) == (502, ["false"])
        assert eventually(lambda: "certificate required; give the upstream" in host.errors.read_text())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_second_connection_goes_on_from_the_session_of_the_first(
    new_host: NewHost, authority: Authority, version: ssl.TLSVersion
) -> None:
    resumed: list[bool | None] = []

    def script(talk: Talk) -> None:
        assert isinstance(talk.socket, ssl.SSLSocket)
        resumed.append(talk.socket.session_reused)
        talk.answer()
        if not talk.arrival.target.endswith("kept"):
            talk.close()

    context = authority.server(authority.issue("127.0.0.1"))
    context.maximum_version = version
    with Oracle(context) as oracle, oracle.script(script) as name:
        host = new_host(config(oracle, f'ca = "{authority.file}"'))
        with host.connect() as client:
            for path in ("kept", "kept", "last", "new", "new"):
                client.send(request(f"GET /v1/{name}/{path} HTTP/1.1".encode()))
                assert client.read().status == 200
        assert [arrival.connection for arrival in oracle.arrivals] == [1, 1, 1, 2, 3]
        assert resumed == [False, False, False, True, True]
        host.reconfigure(config(oracle, f'ca = "{authority.file}"', 'idle_timeout = "10s"'))
        assert call(host, name).status == 200
        assert resumed[-1] is True  # a reload that leaves the upstream as it is
        host.reconfigure(config(oracle, f'ca = "{authority.file}", server_name = "127.0.0.1"'))
        assert call(host, name).status == 200
        assert resumed[-1] is False  # what was believed by other rules is believed anew


def test_a_file_with_other_contents_counts_after_a_reload(
    new_host: NewHost, authority: Authority, secure: Oracle, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path, "stranger")
    trusted = tmp_path / "trusted.crt"
    trusted.write_bytes(authority.file.read_bytes())
    text = config(secure, f'ca = "{trusted}"')
    host = new_host(text)
    assert call(host).status == 200
    trusted.write_bytes(stranger.file.read_bytes())
    assert call(host).status == 200
    host.reconfigure(text)
    assert b"upstream_untrusted" in call(host).body
    trusted.write_bytes(b"nonsense")
    host.reconfigure(text, "refused")
    trusted.write_bytes(stranger.file.read_bytes() + authority.file.read_bytes())
    host.reconfigure(text)
    assert call(host).status == 200


def test_a_target_that_does_not_speak_TLS_is_one_that_cannot_be_reached(new_host: NewHost) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as beside:
        host = new_host(config(listener.getsockname()[1], "verify = false"))
        called = beside.submit(call, host)
        with listener.accept()[0] as peer:
            assert peer.recv(65536)[:1] == b"\x16"
            peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            answer = called.result()
    assert (answer.status, b"upstream_unreachable" in answer.body) == (502, True)
    assert "is it http:// that is spoken there?" in host.errors.read_text()


def test_a_handshake_that_stalls_is_ended_by_the_connect_timeout(terms: Gateway, new_host: NewHost) -> None:
    before = terms.captured("rich")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = new_host(config(silent.getsockname()[1], "verify = false", 'connect_timeout = "300ms"'))
        answer = call(host)
        assert (answer.status, b"upstream_connect_timeout" in answer.body) == (504, True)
        with silent.accept()[0] as peer:
            peer.settimeout(5)
            with contextlib.suppress(ConnectionResetError):
                while peer.recv(65536):
                    pass
    assert terms.captured("rich") == before
    assert host.errors.read_text() == ""


LARGE = bytes(range(256)) * 16384  # 4 MiB


def test_large_bodies_go_both_ways_under_backpressure(new_host: NewHost, authority: Authority, secure: Oracle) -> None:
    """The last bytes, and the end of the connection behind them, come while the client takes nothing."""

    def script(talk: Talk) -> None:
        talk.answer(200, talk.read_body(), "Connection: close")
        talk.close()

    host = new_host(config(secure, f'ca = "{authority.file}"'))
    with secure.script(script) as name, Client(host.port, 4096) as client:
        head = f"POST /v1/{name} HTTP/1.1".encode()
        client.send(request(head, b"Content-Length: %d" % len(LARGE), body=LARGE))
        secure.wait_for(name)
        assert not client.is_silent(5)
        time.sleep(0.3)
        assert client.read().body == LARGE
        assert secure.named(name)[0].body == LARGE


def ending(data: bytes, end: str) -> Script:
    def script(talk: Talk) -> None:
        assert isinstance(talk.socket, ssl.SSLSocket)
        talk.send(data)
        talk.keep = False
        if end == "close_notify":
            talk.socket.settimeout(5)
            with contextlib.suppress(OSError):
                talk.socket.unwrap()
        elif end == "reset":
            talk.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return script


@pytest.mark.parametrize("end", ["close_notify", "fin", "reset"])
@pytest.mark.parametrize("framed", ["length", "chunks", "close"])
def test_only_an_end_that_was_said_is_one(
    terms: Gateway, new_host: NewHost, authority: Authority, secure: Oracle, framed: str, end: str
) -> None:
    """A body that ends with the connection is whole after a close_notify alone (RFC 8446 §6.1)."""
    head = {"length": b"Content-Length: 9", "chunks": b"Transfer-Encoding: chunked", "close": b"X: y"}[framed]
    data = b"3\r\nabc\r\n" if framed == "chunks" else b"abc"
    host = new_host(config(secure, f'ca = "{authority.file}"'))
    before = terms.captured("rich")
    whole = framed == "close" and end == "close_notify"
    with (
        secure.script(ending(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + data, end)) as name,
        host.connect() as client,
    ):
        client.send(request(f"GET /v1/{name} HTTP/1.1".encode()))
        if whole:
            assert client.read().body == b"abc"
        else:
            with pytest.raises(TruncatedError):
                client.read()
        assert len(secure.named(name)) == 1
    assert terms.captured("rich") == before + whole * PRICE


def test_a_connection_that_ended_while_idle_is_not_used_for_a_POST(
    new_host: NewHost, authority: Authority, secure: Oracle
) -> None:
    def script(talk: Talk) -> None:
        talk.read_body()
        talk.answer()
        talk.close()

    host = new_host(config(secure, f'ca = "{authority.file}"'))
    with secure.script(script) as name, host.connect() as client:
        for _ in range(20):
            client.send(request(f"POST /v1/{name} HTTP/1.1".encode(), b"Content-Length: 1", body=b"a"))
            assert client.read().status == 200
            time.sleep(0.02)


def test_a_connection_may_go_over_to_another_protocol_behind_TLS(
    new_host: NewHost, authority: Authority, secure: Oracle
) -> None:
    """Every byte both ways, and the end of one half, which the other side hears of and answers with its own."""

    def script(talk: Talk) -> None:
        assert isinstance(talk.socket, ssl.SSLSocket)
        talk.arrival.problems.clear()  # Upgrade is for the one behind, here
        talk.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello")
        while data := talk.socket.recv(65536):
            talk.send(data)
        talk.socket.unwrap()
        talk.close()

    host = new_host(config(secure, f'ca = "{authority.file}"') + 'upgrades = ["websocket"]\n')
    with secure.script(script) as name, host.connect() as client:
        client.send(
            request(
                f"GET /v1/{name} HTTP/1.1".encode(),
                b"Connection: Upgrade",
                b"Upgrade: websocket",
                b"Sec-WebSocket-Version: 13",
                b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            )
        )
        assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        assert client.exactly(5) == b"hello"
        sender = threading.Thread(target=client.send, args=(LARGE,))
        sender.start()
        assert client.exactly(len(LARGE)) == LARGE
        sender.join()
        client.half_close()
        assert client.is_ended()

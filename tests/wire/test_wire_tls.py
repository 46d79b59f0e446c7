"""TLS at the front door: what is spoken, which certificate is shown, and that what is not TLS harms nobody."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .certificates import Authority
from .client import Client, TruncatedError
from .configs import IDENTITY, PRICE
from .framing import request
from .oracle import Oracle, Talk
from .rig import Gateway, Host, eventually
from .tls_socket import TlsSocket

GET = b"GET /v1/x HTTP/1.1"
CONFIG = """
[server]
tls_certificate = "{first.certificate}"
tls_key = "{first.key}"
head_timeout = "400ms"
{server}
{second.entry}[[upstreams]]
name = "oracle"
targets = ["http://127.0.0.1:{oracle}"]
[[routes]]
name = "api"
path = "/v1/"
upstream = "oracle"
price = "0.001"
[[accounts]]
name = "rich"
"""


class Front:
    """A data plane with a TLS listener, and who it is: "localhost", or what the second certificate says."""

    def __init__(self, terms: Gateway, oracle: Oracle, directory: Path, path: Path | None) -> None:
        self.authority = Authority(directory)
        self.oracle = oracle
        self.first = self.authority.issue("localhost", "127.0.0.1")
        self.second = self.authority.issue("api.wire.example", "*.shops.example")
        self.context = self.authority.client()
        self.host = Host(terms, self.config(), directory, path, 1)

    def config(self, server: str = "") -> str:
        return CONFIG.format(first=self.first, second=self.second, oracle=self.oracle.port, server=server)

    def connect(self, name: str = "localhost") -> Client:
        return self.host.connect(context=self.context, name=name)

    def plain(self) -> socket.socket:
        """A connection that has said nothing yet."""
        return socket.create_connection(("127.0.0.1", self.host.port), timeout=10)


@pytest.fixture(scope="module")
def module_front(
    session_terms: Gateway,
    session_oracle: Oracle,
    package_path: Path | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Front]:
    front = Front(session_terms, session_oracle, tmp_path_factory.mktemp("front"), package_path)
    with front.host:
        yield front


@pytest.fixture
def secured(module_front: Front, terms: Gateway) -> Iterator[Front]:  # noqa: ARG001
    """It must outlive every test, and serve on."""
    yield module_front
    assert "Traceback" not in module_front.host.errors.read_text()
    with module_front.connect() as client:
        client.send(request(GET))
        assert client.read().status == 200


def names(client: Client) -> list[str]:
    """The names of the certificate that the client was shown."""
    return [value for _, value in client.socket.ssl.getpeercert()["subjectAltName"]]


# What is spoken


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize(
    ("version", "served"),
    [
        (ssl.TLSVersion.TLSv1, False),
        (ssl.TLSVersion.TLSv1_1, False),
        (ssl.TLSVersion.TLSv1_2, True),
        (ssl.TLSVersion.TLSv1_3, True),
    ],
)
def test_only_tls_1_2_and_1_3_are_spoken(secured: Front, version: ssl.TLSVersion, served: bool) -> None:
    context = secured.authority.client()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    if not served:
        with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
            secured.host.connect(context=context)
        return
    with secured.host.connect(context=context) as client:
        client.send(request(GET))
        assert client.read().status == 200


@pytest.mark.parametrize("ciphers", ["NULL", "aNULL", "3DES", "RC4", "kRSA", "CBC:!kECDHE:!kDHE"])
def test_no_weak_cipher_is_agreed_on(secured: Front, ciphers: str) -> None:
    context = secured.authority.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    except ssl.SSLError:
        return  # this OpenSSL has none of them
    with pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
        secured.host.connect(context=context)


def test_http_1_1_is_what_is_agreed_on(secured: Front) -> None:
    for offered, agreed in ((["h2", "http/1.1"], "http/1.1"), (["h2"], None), ([], None)):
        context = secured.authority.client()
        if offered:
            context.set_alpn_protocols(offered)
        with secured.host.connect(context=context) as client:
            assert client.socket.ssl.selected_alpn_protocol() == agreed
            client.send(request(GET))
            assert client.read().status == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_is_resumed_also_after_a_reload(secured: Front, version: ssl.TLSVersion) -> None:
    context = secured.authority.client()
    context.maximum_version = version
    session = None
    for reused in (False, True, True):
        with TlsClient(secured, context, session) as client:
            assert client.socket.ssl.session_reused == reused
            client.send(request(GET))
            assert client.read().status == 200
            session = client.socket.ssl.session
        secured.host.reconfigure(secured.config())


class TlsClient(Client):
    """A client that may have been here before."""

    def __init__(self, front: Front, context: ssl.SSLContext, session: ssl.SSLSession | None) -> None:
        super().__init__(front.host.port)
        self.socket = TlsSocket(self.socket, context, "localhost", session=session)


# Which certificate


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("localhost", ["localhost", "127.0.0.1"]),
        ("api.wire.example", ["api.wire.example", "*.shops.example"]),
        ("API.Wire.Example", ["api.wire.example", "*.shops.example"]),
        ("a.shops.example", ["api.wire.example", "*.shops.example"]),
        ("127.0.0.1", ["localhost", "127.0.0.1"]),  # of which SNI says nothing
    ],
)
def test_the_certificate_is_that_of_the_name(secured: Front, name: str, expected: list[str]) -> None:
    with secured.connect(name) as client:
        assert names(client) == expected
        client.send(request(GET))
        assert client.read().status == 200


@pytest.mark.parametrize("name", ["elsewhere.example", "b.a.shops.example", "shops.example"])
def test_who_asks_for_another_name_is_shown_the_first(secured: Front, name: str) -> None:
    context = secured.authority.client()
    context.check_hostname = False
    with secured.host.connect(context=context, name=name) as client:
        assert names(client) == ["localhost", "127.0.0.1"]


def test_new_connections_get_the_new_certificate_and_the_others_stay(secured: Front) -> None:
    with secured.connect() as old:
        first, secured.first = secured.first, secured.authority.issue("localhost", "renewed.example")
        try:
            secured.host.reconfigure(secured.config())
            with secured.connect() as new:
                assert names(new) == ["localhost", "renewed.example"]
            assert names(old) == ["localhost", "127.0.0.1"]
            old.send(request(GET) * 2)
            assert [old.read().status, old.read().status] == [200, 200]
        finally:
            secured.first = first
            secured.host.reconfigure(secured.config())


# The same as without


def test_calls_are_served_and_say_that_they_came_by_https(secured: Front, terms: Gateway, oracle: Oracle) -> None:
    before = terms.captured("rich")
    with secured.connect() as client:
        for _ in range(3):
            client.send(request(GET))
            assert client.read().status == 200
    assert [arrival.one("x-forwarded-proto") for arrival in oracle.arrivals] == ["https"] * 3
    assert terms.captured("rich") == before + 3 * PRICE


def test_records_may_be_cut_and_joined_as_they_like(secured: Front, oracle: Oracle) -> None:
    """A request in many records, many in one, and a record in many segments, each with the next one's beginning."""
    with secured.connect() as client:
        stream: TlsSocket = client.socket
        by_byte = b"".join(stream.sealed(bytes((byte,))) for byte in request(GET))
        together = stream.sealed(request(GET) * 20)
        for data in (by_byte, together):
            stream.socket.sendall(data)
        answered = 21
        trickle = stream.sealed(request(b"POST /v1/x HTTP/1.1", b"Content-Length: 40000", body=b"x" * 40000))
        for start in range(0, len(trickle), 1000):
            stream.socket.sendall(trickle[start : start + 1000])
            if start < 20_000:
                time.sleep(0.002)
        for _ in range(answered + 1):
            assert client.read().status == 200
    assert oracle.arrivals[-1].body == b"x" * 40000


def test_a_client_that_has_said_all_gets_its_answer(secured: Front, terms: Gateway, oracle: Oracle) -> None:
    """Half-closed by close_notify and FIN (RFC 8446 §6.1); the gateway's own end is said, too."""
    before = terms.captured("rich")

    def script(talk: Talk) -> None:
        time.sleep(0.1)
        talk.answer(200, b"x" * 100_000)

    with oracle.script(script) as name, secured.connect() as client:
        client.send(request(f"GET /v1/{name} HTTP/1.1".encode()))
        client.half_close()
        assert client.read().body == b"x" * 100_000
        assert client.is_ended()
        assert client.socket.ended
    assert terms.captured("rich") == before + PRICE


def test_an_end_that_nobody_has_spoken_of_is_a_client_gone(secured: Front, terms: Gateway, oracle: Oracle) -> None:
    before, first = terms.captured("rich"), terms.segment.journal_written(1)
    ended = threading.Event()

    def script(talk: Talk) -> None:
        if talk.gone(5):
            ended.set()

    with oracle.script(script) as name, secured.connect() as client:
        client.send(request(f"GET /v1/{name} HTTP/1.1".encode()))
        assert eventually(lambda: bool(oracle.arrivals))
        client.socket.socket.shutdown(socket.SHUT_WR)
        assert ended.wait(5)
    assert terms.captured("rich") == before
    assert eventually(lambda: terms.segment.journal_written(1) > first)


def test_an_answer_that_is_cut_does_not_end_as_a_whole_one_would(secured: Front, oracle: Oracle) -> None:
    """Without a length only the connection's end ends a body: no close_notify may come for a part of one."""

    def script(talk: Talk) -> None:
        talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        time.sleep(0.05)
        talk.reset()

    with oracle.script(script) as name, secured.connect() as client:
        client.send(b"GET /v1/%b HTTP/1.0\r\n%b\r\n" % (name.encode(), IDENTITY))
        client.until(b"\r\n\r\n")
        with pytest.raises(TruncatedError):
            client._rest()


def test_a_refusal_is_read_by_who_was_still_sending(secured: Front) -> None:
    with secured.connect() as client:
        client.send(b"POST /nowhere HTTP/1.1\r\nHost: w\r\nContent-Length: 9000000\r\n\r\n")
        sender = threading.Thread(target=client.send, args=(bytes(8_000_000),))
        sender.start()
        answer = client.read()
        assert (answer.status, answer.closes) == (404, True)
        assert client.is_ended()
        sender.join()


# What is no TLS, or none yet


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: wire\r\n\r\n",
        b"\x16\x03\x01\x00\x05hello",
        b"\x16\x03\x01\xff\xff" + bytes(70_000),
        bytes(range(256)) * 8,
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n",
    ],
    ids=["http", "hello", "long record", "noise", "alert", "proxy"],
)
def test_what_is_no_tls_is_ended_at_once(secured: Front, data: bytes) -> None:
    secured.host.reconfigure(secured.config().replace("400ms", "60s"))  # more than the client waits
    try:
        with secured.plain() as client, contextlib.suppress(ConnectionError):
            client.sendall(data)
            while answer := client.recv(65536):
                assert answer[0] == 21  # an alert (RFC 8446 §5.1)
    finally:
        secured.host.reconfigure(secured.config())


def test_noise_after_the_handshake_ends_the_connection_alone(secured: Front, terms: Gateway) -> None:
    before = terms.captured("rich")
    with secured.connect() as client:
        client.send(request(GET))
        assert client.read().status == 200
        record = bytearray(client.socket.sealed(request(GET)))
        record[-1] ^= 1
        client.socket.socket.sendall(bytes(record))
        with pytest.raises(ssl.SSLError, match="BAD_RECORD_MAC"):
            client.socket.recv(1)
    assert terms.captured("rich") == before + PRICE


@pytest.mark.parametrize("said", [0, 1, 5, 100], ids=["nothing", "a byte", "a header", "half a hello"])
def test_a_handshake_that_does_not_go_on_is_cut(secured: Front, said: int) -> None:
    with secured.plain() as client:
        stream = TlsSocket(client, secured.context, "localhost", shake=False)
        with contextlib.suppress(ssl.SSLWantReadError):
            stream.ssl.do_handshake()
        client.sendall(stream.outgoing.read()[:said])
        start = time.monotonic()
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""
        assert 0.3 < time.monotonic() - start < 3


def test_a_thousand_handshakes_that_hang_disturb_nobody(secured: Front) -> None:
    stream = TlsSocket(socket.socket(), secured.context, "localhost", shake=False)
    with contextlib.suppress(ssl.SSLWantReadError):
        stream.ssl.do_handshake()
    hello = stream.outgoing.read()
    with contextlib.ExitStack() as stack, secured.connect() as client:
        hanging = []
        for number in range(1000):
            sock = stack.enter_context(secured.plain())
            sock.sendall(hello[: number % len(hello)])
            hanging.append(sock)
        slowest = 0.0
        for _ in range(20):
            start = time.monotonic()
            client.send(request(GET))
            assert client.read().status == 200
            slowest = max(slowest, time.monotonic() - start)
        with secured.connect() as other:
            other.send(request(GET))
            assert other.read().status == 200
        assert slowest < 2
        start = time.monotonic()
        for sock in hanging:
            with contextlib.suppress(ConnectionError):
                while sock.recv(65536):
                    pass
        assert time.monotonic() - start < 8


def test_who_comes_when_there_is_no_room_is_told_so(secured: Front) -> None:
    secured.host.reconfigure(secured.config("connections_max = 3"))
    try:
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                client = stack.enter_context(secured.connect())
                client.send(request(GET))
                assert client.read().status == 200
            with secured.connect() as client:
                answer = client.read()
                assert (answer.status, answer.closes) == (503, True)
                assert client.is_ended()
                assert client.socket.ended
    finally:
        secured.host.reconfigure(secured.config())

"""Client certificates: who must show one, whose key it is, and that nobody else can be taken for its owner."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator

import pytest

from .certificates import LISTENER, Authority, Identity
from .client import Client
from .configs import KEY, PRICE
from .conftest import NewHost
from .oracle import Oracle
from .rig import ACCOUNT, Gateway, Host
from .test_wire_tls import CONFIG
from .tls_socket import TlsSocket

GET = b"GET /v1/x HTTP/1.1\r\nHost: wire\r\n%b\r\n"
Connect = Callable[[str, Identity | None], Client]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("clients"))


@pytest.fixture
def connect(authority: Authority, terms: Gateway, new_host: NewHost, oracle: Oracle) -> Iterator[Connect]:  # noqa: ARG001
    """Makes a connection, over TLS 1.3, to a listener of that kind, showing that certificate."""
    shown = authority.issue("localhost")
    hosts: dict[str, Host] = {}

    def make(kind: str, identity: Identity | None) -> Client:
        if kind not in hosts:
            text = CONFIG.format(first=shown, second=shown, oracle=oracle.port, server="")
            text = text.replace("tls_certificate", 'listen = "off"\n# ').replace("tls_key", "# ")
            text = text.replace("[server]\n", f'[server]\nclient_ca = "{authority.file}"\n')
            text += '[[routes]]\nname = "free"\npath = "/free/"\nupstream = "oracle"\nauth = "none"\n'
            hosts[kind] = new_host(f'{text}{LISTENER}client_certificates = "{kind}"\n', 1 + len(hosts))
        return hosts[kind].connect(context=authority.client(identity))

    yield make
    for host in hosts.values():
        assert "Traceback" not in host.errors.read_text()


def ask(client: Client, fields: bytes = b"", path: bytes = b"/v1/x") -> tuple[int, str]:
    """Status, and the code of a refusal."""
    client.send((GET % fields).replace(b"/v1/x", path))
    answer = client.read()
    code = answer.body.partition(b'"code":"')[2].partition(b'"')[0].decode()
    return answer.status, code


def test_a_certificate_is_the_key_of_who_shows_it(
    connect: Connect, authority: Authority, terms: Gateway, oracle: Oracle
) -> None:
    before = terms.captured("rich")
    with connect("optional", authority.issue("other.wire.example", "Caller.wire.example")) as client:
        assert [ask(client), ask(client)] == [(200, "")] * 2
        # Who has a key in the head is who that says, and the next request is the certificate's again.
        assert ask(client, b"x-api-key: sk-wire-poor-0001\r\n") == (402, "insufficient_balance")
        assert ask(client, b"Authorization: Bearer sk-wire-nobody\r\n") == (401, "unknown_key")
        assert ask(client, b"Authorization: Basic abcd\r\n") == (200, "")
        assert ask(client) == (200, "")
    assert terms.captured("rich") == before + 4 * PRICE
    assert not any(name in ("authorization", "x-api-key") for name, _ in oracle.arrivals[0].fields)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("spiffe://wire.example/poor",), (402, "insufficient_balance")),
        (("robot@wire.example",), (401, "revoked_key")),
        (("nobody.wire.example",), (401, "unknown_certificate")),
        (("nobody.wire.example", "caller.wire.example"), (200, "")),
    ],
)
def test_each_kind_of_name_can_be_a_key(
    connect: Connect, authority: Authority, names: tuple[str, ...], expected: tuple[int, str]
) -> None:
    identity = authority.issue_uri(names[0]) if ":" in names[0] else authority.issue(*names)
    with connect("required", identity) as client:
        assert ask(client) == expected
        assert ask(client, path=b"/free/x") == (200, "")
        assert ask(client, f"x-api-key: {KEY}\r\n".encode()) == (200, "")


def test_without_a_certificate_a_key_is_asked_for(connect: Connect) -> None:
    with connect("optional", None) as client:
        assert ask(client) == (401, "missing_key")
        assert ask(client, f"x-api-key: {KEY}\r\n".encode()) == (200, "")


def test_nobody_gets_in_without_one_where_it_is_required(connect: Connect, authority: Authority) -> None:
    with connect("required", None) as client:  # the client's part of a handshake of TLS 1.3 is done before
        client.send(GET % b"")
        with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
            client.socket.recv(1)
    with connect("required", authority.issue("caller.wire.example")) as client:
        assert ask(client) == (200, "")


@pytest.mark.parametrize("kind", ["optional", "required"])
def test_a_certificate_of_another_authority_is_refused(
    connect: Connect, tmp_path_factory: pytest.TempPathFactory, kind: str
) -> None:
    other = Authority(tmp_path_factory.mktemp("strangers")).issue("caller.wire.example")
    with connect(kind, other) as client:
        client.send(GET % b"")
        with pytest.raises(ssl.SSLError, match="UNKNOWN_CA"):
            client.socket.recv(1)


@pytest.mark.parametrize("mark", [b"\x01", b"", b"\\x01", b"%01", b"\xc0\x81"])
@pytest.mark.parametrize(
    "name", [b"dns:caller.wire.example", b"caller.wire.example", b"uri:spiffe://wire.example/poor"]
)
@pytest.mark.parametrize("field", [b"Authorization: Bearer ", b"x-api-key: "])
def test_no_header_says_what_a_certificate_would(terms: Gateway, mark: bytes, name: bytes, field: bytes) -> None:
    first = terms.records_written()
    with terms.connect() as client:
        client.send(GET % (field + mark + name + b"\r\n"))
        answer = client.read()
    assert answer.status == (400 if mark == b"\x01" else 401)
    [record] = terms.records(first)
    assert record[ACCOUNT] == bytes(4)


def test_a_resumed_session_is_who_it_was(connect: Connect, authority: Authority) -> None:
    context = authority.client(authority.issue("caller.wire.example"))
    with connect("optional", None) as stranger:
        port = stranger.socket.socket.getpeername()[1]
    session = None
    for reused in (False, True):
        client = Client(port)
        client.socket = TlsSocket(client.socket, context, "localhost", session=session)
        with client:
            assert client.socket.ssl.session_reused == reused
            assert ask(client) == (200, "")
            session = client.socket.ssl.session

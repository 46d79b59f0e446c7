"""Certificates are renewed under a whole gateway that goes on: by a signal, by watching, and not by broken files."""

from __future__ import annotations

import datetime
import hashlib
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .certificates import Authority, Identity
from .client import Client
from .framing import request
from .oracle import Oracle, Talk
from .rig import Gateway, eventually

pytestmark = pytest.mark.slow

GET = request(b"GET /v1/x HTTP/1.1")
TEXT = """[server]
watch = {watch}
[[upstreams]]
name = "oracle"
targets = ["http://127.0.0.1:{oracle}"]
[[routes]]
name = "api"
path = "/v1/"
upstream = "oracle"
price = "0.001"
[[accounts]]
name = "rich"
balance = "1000"
[[keys]]
account = "rich"
key = "sk-wire-rich-0001"
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


class Shown:
    """The files that a gateway shows, and one after the other what is in them."""

    def __init__(self, gateway: Gateway, authority: Authority) -> None:
        self.gateway = gateway
        self.authority = authority
        assert gateway.shown is not None
        self.certificate, self.key = gateway.shown.certificate, gateway.shown.key

    def renew(self, name: str) -> None:
        issued = self.authority.issue("localhost", name)
        # By other names first, as those who renew certificates do it.
        for new, old in ((issued.certificate, self.certificate), (issued.key, self.key)):
            new.replace(old)

    def name(self) -> str:
        """The last name of the certificate that a new connection is shown."""
        with self.gateway.connect() as client:
            return names(client)[-1]


def names(client: Client) -> list[str]:
    return [value for _, value in client.socket.ssl.getpeercert()["subjectAltName"]]


@pytest.fixture
def shown(
    request: pytest.FixtureRequest, authority: Authority, oracle: Oracle, package_path: Path | None, tmp_path: Path
) -> Iterator[Shown]:
    """A gateway, watching its files where the test's parameter says so."""
    text = TEXT.format(oracle=oracle.port, watch=str(getattr(request, "param", False)).lower())
    gateway = Gateway(text, tmp_path, package_path, authority)
    yield Shown(gateway, authority)
    gateway.stop()


@pytest.mark.parametrize("shown", [True], indirect=True, ids=["watching"])
def test_a_renewed_certificate_is_shown_and_a_broken_one_is_not(shown: Shown) -> None:
    gateway = shown.gateway
    with gateway.connect() as old:
        shown.renew("renewed.example")
        assert eventually(lambda: shown.name() == "renewed.example")
        kept = shown.certificate.read_bytes()
        shown.certificate.write_text("-----BEGIN CERTIFICATE-----\nhello\n-----END CERTIFICATE-----\n")
        assert eventually(lambda: "holds no certificate in PEM" in gateway.errors.read_text())
        assert f'server.tls_certificate = "{shown.certificate}"' in gateway.errors.read_text()
        shown.authority.issue("localhost", "other.example").certificate.replace(shown.certificate)
        assert eventually(lambda: "does not belong to the certificate" in gateway.errors.read_text())
        assert shown.name() == "renewed.example"
        shown.certificate.write_bytes(kept)
        assert names(old)[-1] == "localhost"
        for _ in range(2):
            old.send(GET)
            assert old.read().status == 200


def test_no_connection_is_dropped_while_certificates_change(shown: Shown) -> None:
    gateway = shown.gateway
    stop = threading.Event()
    failed: list[object] = []
    calls = [0, 0]

    def caller(reuse: bool) -> None:
        client = gateway.connect()
        while not stop.is_set():
            try:
                if not reuse:
                    client.socket.close()
                    client = gateway.connect()
                client.send(GET)
                if client.read().status != 200:
                    failed.append("status")
            except (OSError, ssl.SSLError) as error:
                failed.append(error)
                return
            calls[reuse] += 1
        client.socket.close()

    callers = [threading.Thread(target=caller, args=(reuse,)) for reuse in (True, False, False)]
    for thread in callers:
        thread.start()
    for number in range(4):
        shown.renew(f"renewed-{number}.example")
        gateway.process.send_signal(signal.SIGHUP)
        assert eventually(lambda number=number: shown.name() == f"renewed-{number}.example")  # type: ignore[misc]
    stop.set()
    for thread in callers:
        thread.join()
    assert failed == []
    assert min(calls) > 10


def test_a_certificate_is_a_key_by_its_fingerprint(authority: Authority, shown: Shown, tmp_path: Path) -> None:
    """Declared in a reload; until then it is nobody's."""
    identity: Identity = authority.issue("whoever.example")
    file = tmp_path / "fastgw.toml"
    der = ssl.PEM_cert_to_DER_cert(identity.certificate.read_text())
    digits = hashlib.sha256(der).hexdigest()
    # The listener of `listen` asks for no certificates: the key is there, and nobody can be it.
    file.write_text(file.read_text() + f'[[keys]]\naccount = "rich"\ncertificate = "sha256:{digits}"\n')
    shown.gateway.process.send_signal(signal.SIGHUP)
    assert eventually(lambda: "keys: 1 added" in shown.gateway.errors.read_text())
    with Client(shown.gateway.port, 0, authority.client(identity)) as client:
        client.send(b"GET /v1/x HTTP/1.1\r\nHost: w\r\n\r\n")
        assert b'"missing_key"' in client.read().body
        client.send(b"GET /v1/x HTTP/1.1\r\nHost: w\r\nx-api-key: sha256:%b\r\n\r\n" % digits.encode())
        assert b'"unknown_key"' in client.read().body


def late(talk: Talk) -> None:
    time.sleep(0.5)
    talk.answer(200, b"late")


def test_who_ends_soon_is_warned_of_and_ends_drained(
    authority: Authority, oracle: Oracle, package_path: Path | None, tmp_path: Path
) -> None:
    gateway = Gateway(TEXT.format(oracle=oracle.port, watch="false"), tmp_path, package_path, authority)
    try:
        shown = Shown(gateway, authority)
        soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=3, hours=1)
        issued = authority.authority.issue_cert("localhost", not_after=soon)
        shown.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        shown.key.write_bytes(issued.private_key_pem.bytes())
        gateway.process.send_signal(signal.SIGHUP)
        assert eventually(lambda: "the certificate expires in 3 days" in gateway.errors.read_text())
        idle, begun = gateway.connect(), socket.create_connection(("127.0.0.1", gateway.port))
        begun.sendall(b"\x16\x03\x01")
        with gateway.connect() as busy, oracle.script(late) as name:
            busy.send(request(f"GET /v1/{name} HTTP/1.1".encode()))
            assert eventually(lambda: bool(oracle.arrivals))
            os.kill(gateway.process.pid, signal.SIGTERM)
            assert busy.read().body == b"late"
            assert busy.is_ended()
        assert idle.is_ended()
        idle.socket.close()
        begun.close()
        assert gateway.process.wait(10) == 0
    finally:
        gateway.stop()

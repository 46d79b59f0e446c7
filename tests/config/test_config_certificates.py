"""Which certificates can be shown, for which names, what is wrong with the others, and what they are warned of."""

import datetime
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from config_files import MINIMAL, Accept, Refuse, write_pem
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from fastgw.cli import main
from fastgw.config.certificates import described, read_certificate, warnings
from fastgw.config.changes import reload_report
from fastgw.identities import MARK, of_text
from fastgw.model import Config, ConfigError

TLS = '[server]\nlisten = ":8443"\ntls_certificate = "a.pem"\ntls_key = "a.key"\n'
DAY_S = 86_400


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_pem(Path("a.pem"), Path("a.key"))
    write_pem(Path("b.pem"), Path("b.key"), ("b.example", "*.b.example", "10.0.0.1"))


def rsa_pem(bits: int, name: str, days: int = 30) -> tuple[bytes, bytes]:
    """A certificate without alternative names, and its key."""
    key = rsa.generate_private_key(65537, bits)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), 1)
        .not_valid_before(now - datetime.timedelta(days=60))
        .not_valid_after(now + datetime.timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM), key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def test_one_line_makes_listen_https(accept: Accept) -> None:
    config = accept(TLS + MINIMAL)
    assert [(door.address, door.tls) for door in config.listeners] == [(":8443", True)]
    [certificate] = config.certificates
    assert certificate.names == ("example.com",)
    assert "PRIVATE" not in repr(certificate)
    flags = {"tls_certificate": "a.pem", "tls_key": "a.key", "listen": ":8443"}
    assert accept(MINIMAL, flags).listeners == config.listeners


def test_names_are_those_of_the_certificate() -> None:
    assert read_certificate("b.pem", "b.key").names == ("b.example", "*.b.example", "10.0.0.1")
    for name, names in (("Old.Example", ("old.example",)), ("", ())):
        certificate, key = rsa_pem(2048, name)
        Path("c.pem").write_bytes(certificate + key)
        assert read_certificate("c.pem", "c.pem").names == names


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda: Path("a.pem").unlink(), 'tls_certificate = "{}/a.pem": cannot be read: No such file'),
        (lambda: Path("a.pem").write_text("hello"), 'tls_certificate = "{}/a.pem": holds no certificate in PEM'),
        (lambda: Path("a.key").write_text("hello"), 'tls_key = "{}/a.key": holds no private key in PEM'),
        (
            lambda: Path("b.key").replace("a.key"),
            'tls_key = "{}/a.key": does not belong to the certificate, which must be the first one of its file',
        ),
        (lambda: encrypt(Path("a.key")), 'tls_key = "{}/a.key": is encrypted, and there is nobody to ask'),
        (lambda: weaken(), 'tls_key = "{}/a.key": is too short to be safe'),
        (lambda: Path("a.key").write_text(Path("a.key").read_text()[:150]), 'tls_key = "{}/a.key": cannot be used'),
    ],
    ids=["missing", "no certificate", "no key", "another key", "encrypted", "short", "cut"],
)
def test_what_cannot_be_shown_is_refused_with_file_and_reason(
    refuse: Refuse, tmp_path: Path, change: Callable[[], object], problem: str
) -> None:
    change()
    [said] = refuse(TLS + MINIMAL)
    line = 4 if problem.startswith("tls_key") else 3
    assert said.startswith(f"fastgw.toml:{line}: server.{problem.format(tmp_path)}"[:140])


def encrypt(file: Path) -> None:
    key = load_pem_private_key(file.read_bytes(), None)
    hidden = BestAvailableEncryption(b"secret")
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, hidden))


def weaken() -> None:
    certificate, key = rsa_pem(1024, "example.com")
    Path("a.pem").write_bytes(certificate)
    Path("a.key").write_bytes(key)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (TLS.replace('tls_key = "a.key"\n', ""), "needs server.tls_key beside it"),
        (TLS.replace('tls_certificate = "a.pem"\n', ""), "needs server.tls_certificate beside it"),
        (TLS.replace(":8443", "off") + '[[listeners]]\naddress = ":1"\n', "is for server.listen, which is off"),
        ('[server]\nclient_ca = "a.key"\n', "holds no certificates in PEM"),
    ],
)
def test_what_does_not_go_together_is_refused(refuse: Refuse, text: str, problem: str) -> None:
    [said] = refuse(text + MINIMAL)
    assert problem in said


def test_warnings_come_before_clients_refuse_it() -> None:
    found = read_certificate("a.pem", "a.key")
    assert warnings([found], found.ends_s - 14 * DAY_S) == []
    assert "expires in 13 days, on " in warnings([found], found.ends_s - 14 * DAY_S + 1)[0]
    assert "expires in 1 day, on " in warnings([found], found.ends_s - DAY_S)[0]
    assert "has expired on " in warnings([found], found.ends_s)[0]
    assert "is not valid before " in warnings([found], found.begins_s - 1)[0]
    certificate, key = rsa_pem(2048, "")
    Path("c.pem").write_bytes(certificate + key)
    nameless = read_certificate("c.pem", "c.pem")
    assert "is for no name" in warnings([nameless], nameless.begins_s + 1)[0]
    assert re.fullmatch("a.pem: example.com, until [0-9-]{10}", described(found))


def test_check_names_certificates_and_warns(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.pem").write_bytes(b"".join(rsa_pem(2048, "short.example", days=3)))
    Path("fastgw.toml").write_text(TLS.replace("a.key", "a.pem") + MINIMAL)
    assert main(["check", "-c", "fastgw.toml"]) == 0
    out, err = capsys.readouterr()
    assert f"{Path('a.pem').absolute()}: short.example, until " in out
    assert "fastgw: warning: " in err
    assert "expires in 2 days" in err


def test_a_file_that_is_another_is_a_change(accept: Accept) -> None:
    old = accept(TLS + MINIMAL)
    assert reload_report(old, accept(TLS + MINIMAL)).config == old
    Path("b.pem").replace("a.pem")
    Path("b.key").replace("a.key")
    report = reload_report(old, accept(TLS + MINIMAL))
    assert report.changes == ("certificates: 1 changed",)
    assert report.config.certificates[0].names[0] == "b.example"


def test_listen_becomes_https_or_plain_with_a_restart(accept: Accept) -> None:
    plain, secured = accept('[server]\nlisten = ":8443"\n' + MINIMAL), accept(TLS + MINIMAL)
    for old, new in ((plain, secured), (secured, plain)):
        report = reload_report(old, new)
        assert [line.split(":")[0] for line in report.restart] == ["server.tls_certificate", "server.tls_key"]
        assert report.config == old


def test_an_open_listener_keeps_what_it_needs(accept: Accept) -> None:
    def config(ca: bool, door: str = 'tls = true\nclient_certificates = "optional"\n') -> Config:
        server = '[server]\nclient_ca = "a.pem"\n' if ca else ""
        return accept(
            f'{server}[[listeners]]\naddress = ":1"\n{door}'
            + ('[[certificates]]\ncertificate = "a.pem"\nkey = "a.key"\n' if door else "")
            + MINIMAL
        )

    with pytest.raises(ConfigError, match=r"certificates: a listener is HTTPS.*\n.*client_ca"):
        reload_report(config(True), config(False, ""))
    old = config(True)
    Path("b.pem").replace("a.pem")
    Path("b.key").replace("a.key")
    assert "server.client_ca: the file has changed" in reload_report(old, config(True)).changes


def test_a_client_certificate_is_written_down_in_many_ways() -> None:
    digits = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    colons = ":".join(digits[i : i + 2] for i in range(0, 64, 2)).upper()
    for text, known in (
        (f"sha256:{digits}", f"sha256:{digits}"),
        (f"SHA256:{colons}", f"sha256:{digits}"),
        ("Billing.Example.com", "dns:billing.example.com"),
        ("*.example.com", "dns:*.example.com"),
        ("Robot@Example.COM", "email:Robot@example.com"),
        ("spiffe://example.com/Billing", "uri:spiffe://example.com/Billing"),
        ("spiffe://robot@example.com/a", "uri:spiffe://robot@example.com/a"),
        ("urn:uuid:1", "uri:urn:uuid:1"),
    ):
        assert of_text(text) == MARK + known
    for wrong in ("", "a b", "sha256:12", "ä.example", "a\x01b", "\x01dns:a", 5, None, "@example.com", "a..b"):
        with pytest.raises(ValueError, match="must be"):
            of_text(wrong)


def test_a_key_is_a_certificate_or_a_text(accept: Accept, refuse: Refuse) -> None:
    account = MINIMAL + '[[accounts]]\nname = "a"\n'
    key = '[[keys]]\naccount = "a"\n'
    [found] = accept(account + key + 'certificate = "caller.example"\n').keys
    assert found.key.reveal() == f"{MARK}dns:caller.example"
    assert "is missing" in refuse(account + key)[0]
    assert "key is there too" in refuse(account + key + 'certificate = "caller.example"\nkey = "sk-a-000001"\n')[0]
    assert 'certificate = "a b": must be "sha256:"' in refuse(account + key + 'certificate = "a b"\n')[0]
    twins = (key + 'certificate = "caller.example"\n') * 2
    assert "keys[1].certificate: is the same as keys[0].certificate" in refuse(account + twins)[0]

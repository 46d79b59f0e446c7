"""What [[listeners]] and [[certificates]] may say, and what cannot be side by side."""

from pathlib import Path

import pytest
from config_files import MINIMAL, Accept, Refuse, write_pem

from fastgw.config.changes import reload_report
from fastgw.model import Listener

CERTIFICATE = '[[certificates]]\ncertificate = "a.pem"\nkey = "a.key"\n'


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    write_pem(tmp_path / "a.pem", tmp_path / "a.key")
    write_pem(tmp_path / "ca.pem")


def listener(*lines: str) -> str:
    return "[[listeners]]\n" + "".join(f"{line}\n" for line in lines)


def test_listeners_with_everything(accept: Accept) -> None:
    config = accept(
        '[server]\nlisten = ":8080"\ntrusted_proxies = ["10.0.0.0/8", "unix"]\nclient_ca = "ca.pem"\n'
        + listener('address = "[::]:8443"', "tls = true", 'client_certificates = "optional"')
        + listener('address = "unix:/run/fastgw.sock"', "proxy_protocol = true")
        + listener('address = "systemd:web"')
        + CERTIFICATE
        + MINIMAL
    )
    assert config.listeners == (
        Listener(":8080"),
        Listener("[::]:8443", tls=True, client_certificates="optional"),
        Listener("unix:/run/fastgw.sock", proxy_protocol=True),
        Listener("systemd:web"),
    )
    [certificate] = config.certificates
    assert (certificate.certificate, certificate.key) == (str(Path("a.pem").absolute()), str(Path("a.key").absolute()))
    assert config.server.trusted_proxies == ("10.0.0.0/8", "unix")
    assert config.server.client_ca == str(Path("ca.pem").absolute())


def test_listen_is_the_listener_where_nothing_else_is_said(accept: Accept) -> None:
    assert accept(MINIMAL).listeners == (Listener("127.0.0.1:8080"),)
    other = listener('address = ":9000"')
    assert accept(other + MINIMAL).listeners == (Listener(":9000"),)
    assert accept('[server]\nlisten = "off"\n' + other + MINIMAL).listeners == (Listener(":9000"),)
    assert accept(other + MINIMAL, {"listen": ":8080"}).listeners == (Listener(":8080"), Listener(":9000"))


def test_listeners_of_a_file_go_with_a_route_of_flags(accept: Accept) -> None:
    config = accept(listener('address = ":9000"'), {"upstream": "http://127.0.0.1:9001", "no_auth": True})
    assert config.listeners == (Listener(":9000"),)


def test_networks_come_by_flag_and_variable_too(accept: Accept) -> None:
    variable = {"FASTGW_TRUSTED_PROXIES": "10.0.0.0/8, ::1"}
    assert accept(MINIMAL, None, variable).server.trusted_proxies == ("10.0.0.0/8", "::1/128")
    assert accept(MINIMAL, {"trusted_proxies": "unix"}, variable).server.trusted_proxies == ("unix",)


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (("tls = false",), "listeners[0].address: is missing"),
        (('address = "/run/a"',), 'listeners[0].address = "/run/a": must be host:port like'),
        (('address = "127.0.0.1:8081"',), 'meets server.admin = "127.0.0.1:8081" on one port'),
        (('address = ":9000"', "tls = true"), "listeners[0].tls = true: needs a certificate, in [[certificates]]"),
        (('address = ":9000"', 'client_certificates = "required"'), '= "required": needs tls = true'),
        (('address = ":9000"', 'client_certificates = "some"'), 'must be "off" or "optional" or "required"'),
        (('address = ":9000"', "proxy_protocol = true"), "proxy_protocol = true: needs server.trusted_proxies"),
        (
            ('address = ":9000"', "proxy = true"),
            "listeners[0].proxy: unknown, allowed are address, tls",
        ),
    ],
)
def test_a_wrong_listener_is_refused_by_its_line(refuse: Refuse, lines: tuple[str, ...], problem: str) -> None:
    [said] = refuse("\n" + listener(*lines) + MINIMAL)
    assert said.startswith(f"fastgw.toml:{2 if 'missing' in problem else 2 + len(lines)}: ")
    assert problem in said


@pytest.mark.parametrize(
    ("first", "second", "problem"),
    [
        (":9000", "127.0.0.1:9000", 'listeners[1].address = "127.0.0.1:9000": meets listeners[0].address = ":9000" on'),
        ("unix:/run/a", "unix:/run/a", 'listeners[1].address = "unix:/run/a": is listeners[0].address too'),
        ("systemd", "systemd", 'listeners[1].address = "systemd": is listeners[0].address too'),
    ],
)
def test_two_listeners_that_meet_are_refused(refuse: Refuse, first: str, second: str, problem: str) -> None:
    [said] = refuse(listener(f'address = "{first}"') + listener(f'address = "{second}"') + MINIMAL)
    assert said.startswith("fastgw.toml:4: ")
    assert problem in said


def test_what_a_certificate_needs(refuse: Refuse) -> None:
    tls = listener('address = ":9000"', "tls = true")
    assert refuse(tls + CERTIFICATE.replace("a.key", "none.key") + MINIMAL) == [
        'fastgw.toml:6: certificates[0].key = "none.key": cannot be read: No such file or directory'
    ]
    assert refuse(tls + '[[certificates]]\ncertificate = "a.pem"\n' + MINIMAL) == [
        "fastgw.toml:4: certificates[0].key: is missing"
    ]
    assert refuse(CERTIFICATE + MINIMAL) == [
        "fastgw.toml:1: certificates[0]: no listener shows it: none has tls = true"
    ]
    [said] = refuse(tls + 'client_certificates = "required"\n' + CERTIFICATE + MINIMAL)
    assert "needs server.client_ca" in said


def test_listeners_wait_for_a_restart_and_certificates_do_not(accept: Accept) -> None:
    tls = listener('address = ":9000"', "tls = true") + CERTIFICATE
    old = accept(tls + MINIMAL)
    more = tls.replace("9000", "9001") + CERTIFICATE.replace("a.pem", "ca.pem")
    report = reload_report(old, accept(more + MINIMAL, {"trusted_proxies": "unix"}))
    assert report.restart == ("listeners: 1 added, 1 removed",)
    assert report.changes == ('server.trusted_proxies: "" → unix', "certificates: 1 added")
    assert report.config.listeners == old.listeners
    assert len(report.config.certificates) == 2

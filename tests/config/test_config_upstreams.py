"""What [[upstreams]] may say: targets of every kind, balancing, bounds, retries, ejection, health and TLS."""

from pathlib import Path

import pytest
import trustme
from config_files import MINIMAL, UPSTREAM, Accept, Refuse
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from fastgw.config.load import load
from fastgw.model import Ejection, HealthCheck, Target, UpstreamTls

TARGET = "http://127.0.0.1:9001"


def with_lines(lines: str) -> str:
    return MINIMAL.replace(UPSTREAM, UPSTREAM + lines)


def test_an_upstream_with_everything(accept: Accept) -> None:
    [upstream] = accept(
        MINIMAL.replace(
            UPSTREAM,
            """
[[upstreams]]
name = "u"
targets = ["https://a.example", { url = "http://b.example:81", weight = 3, expand = true }, "unix:/run/app.sock"]
balance = "hash"
hash_by = "X-Session"
slow_start = "30s"
connections_max = 100
requests_max = 8
pending_max = 64
pending_timeout = "2s"
retries = 1
retry_budget = 10
retry_on = ["reset", "503"]
ejection = { failures = 3, duration = "5s", duration_max = "1m", share = 34 }
health = { path = "/healthz?deep=1", interval = "1s", timeout = "500ms", unhealthy_after = 2, healthy_after = 1 }
tls = { server_name = "a.example", verify = false }
""",
        )
    ).upstreams
    assert upstream.targets == (
        Target("a.example", 443, "a.example", tls=True),
        Target("b.example", 81, "b.example:81", weight=3, expand=True),
        Target("", 0, "localhost", socket="/run/app.sock"),
    )
    assert (upstream.balance, upstream.hash_by, upstream.slow_start_ms) == ("hash", "x-session", 30_000)
    assert (upstream.connections_max, upstream.requests_max) == (100, 8)
    assert (upstream.pending_max, upstream.pending_timeout_ms) == (64, 2_000)
    assert (upstream.retries_max, upstream.retry_budget_percent, upstream.retry_on) == (1, 10, ("reset", "503"))
    assert upstream.ejection == Ejection(3, 5_000, 60_000, 34)
    assert upstream.health == HealthCheck("/healthz?deep=1", 1_000, 500, 2, 1)
    assert upstream.tls == UpstreamTls(server_name="a.example", verify=False)


def test_without_a_word_calls_go_round_and_failing_targets_are_passed_over(accept: Accept) -> None:
    [upstream] = accept(MINIMAL).upstreams
    assert (upstream.balance, upstream.health, upstream.ejection) == ("round_robin", None, Ejection())
    assert upstream.tls.verify


def test_ejection_can_be_left_out(accept: Accept) -> None:
    [upstream] = accept(with_lines("ejection = false\n")).upstreams
    assert upstream.ejection is None


def test_files_are_relative_to_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "fastgw.toml"
    file.write_text(MINIMAL.replace(UPSTREAM, '[[upstreams]]\nname = "u"\ntargets_file = "u.targets"\n'))
    [upstream] = load(str(file), {}, {}).upstreams
    assert upstream.targets_file == str(tmp_path / "u.targets")
    assert upstream.targets == ()


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ('balance = "random"', 'upstreams[0].balance = "random": must be "round_robin" or "least_connections"'),
        ('hash_by = "key"', "upstreams[0].hash_by"),
        ('balance = "hash"\nhash_by = "a b"', 'upstreams[0].hash_by = "a b": must be "key", or the name'),
        ("slow_start = 1e3", "upstreams[0].slow_start"),
        ("requests_max = -1", "upstreams[0].requests_max = -1: must be an integer from 0"),
        ("retries = true", "upstreams[0].retries = true: must be an integer from 0 to 10"),
        ('retry_on = ["500"]', 'upstreams[0].retry_on[0] = "500": must be "reset" or "timeout"'),
        ("ejection = true", "upstreams[0].ejection = true: must be a table"),
        ("ejection = { share = 0 }", "upstreams[0].ejection.share = 0: must be an integer from 1 to 100"),
        ("health = {}", "upstreams[0].health.path: is missing"),
        ('health = { path = "healthz" }', 'upstreams[0].health.path = "healthz": must be a path'),
        ('tls = { certificate = "a.pem" }', "upstreams[0].tls.certificate: needs a key beside it"),
        ('tls = { server_name = "a/b" }', 'upstreams[0].tls.server_name = "a/b": must be a host name'),
        ("weight = 1", "upstreams[0].weight: unknown"),
    ],
)
def test_what_an_upstream_may_not_say(refuse: Refuse, lines: str, problem: str) -> None:
    assert any(problem in text for text in refuse(with_lines(f"{lines}\n")))


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ('{ url = "http://a", weight = -1 }', "weight must be an integer from 0"),
        ('{ url = "http://a", wait = 1 }', "wait is unknown, allowed are url, weight, expand"),
        ('{ url = "http://a", expand = 1 }', "expand must be true or false"),
        ("{ weight = 1 }", "must be http://"),
        ('{ url = "http://user:secret@a" }', "must not hold credentials"),
        (f'"{TARGET}", {{ url = "{TARGET}", weight = 2 }}', "upstreams[0].targets[1]: is there twice"),
    ],
)
def test_what_a_target_may_not_be(refuse: Refuse, target: str, problem: str) -> None:
    text = MINIMAL.replace(UPSTREAM, f'[[upstreams]]\nname = "u"\ntargets = [{target}]\n')
    problems = refuse(text)
    assert any(problem in text for text in problems), problems
    assert not any("secret" in text for text in problems)


# The files of TLS


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    """The folder of the configuration, with files in it: good ones and others."""
    authority = trustme.CA()
    mine, another = authority.issue_cert("a.example"), authority.issue_cert("b.example")
    secret = mine.private_key_pem.bytes()
    locked = load_pem_private_key(secret, None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"passphrase")
    )
    for name, contents in {
        "ca": authority.cert_pem.bytes(),
        "crt": mine.cert_chain_pems[0].bytes(),
        "key": secret,
        "other": another.private_key_pem.bytes(),
        "locked": locked,
        "nonsense": b"nonsense",
    }.items():
        (tmp_path / name).write_bytes(contents)
    return tmp_path


def test_tls_files_are_read_and_one_state_of_them_is_told_from_another(accept: Accept, pem: Path) -> None:
    tls = 'tls = { ca = "ca", certificate = "crt", key = "key" }'
    text = MINIMAL.replace(UPSTREAM, UPSTREAM.replace("http:", "https:") + tls)
    first = accept(text).upstreams[0].tls
    assert (first.ca, first.certificate, first.key) == (str(pem / "ca"), str(pem / "crt"), str(pem / "key"))
    assert accept(text).upstreams[0].tls == first
    (pem / "ca").write_bytes(trustme.CA().cert_pem.bytes())
    assert accept(text).upstreams[0].tls != first


@pytest.mark.parametrize(
    ("tls", "problem"),
    [
        ('ca = "none"', 'tls.ca = "{}/none": cannot be read: No such file or directory'),
        ('ca = "nonsense"', 'tls.ca = "{}/nonsense": holds no certificates in PEM form'),
        ('ca = "key"', 'tls.ca = "{}/key": holds no certificates in PEM form'),
        ('ca = "ca", verify = false', 'tls.ca = "ca": has a meaning with verify = true alone'),
        ('certificate = "crt", key = "none"', 'tls.key = "{}/none": cannot be read: No such file or directory'),
        ('certificate = "crt", key = "other"', 'tls.key = "{}/other": is not the key of the certificate'),
        (
            'certificate = "crt", key = "locked"',
            'tls.key = "{}/locked": is encrypted, and there is nobody to ask for its passphrase',
        ),
        ('certificate = "nonsense", key = "key"', 'tls.certificate = "{}/nonsense": holds no certificate in PEM form'),
    ],
)
def test_tls_files_that_are_of_no_use_are_refused_with_their_reason(
    refuse: Refuse, pem: Path, tls: str, problem: str
) -> None:
    field, shown, rule = problem.format(pem).partition('": ')  # of a long path the beginning is shown
    found = refuse(with_lines(f"\ntls = {{ {tls} }}\n"))
    assert any(field[:60] in text and text.endswith(shown[1:] + rule) for text in found), found

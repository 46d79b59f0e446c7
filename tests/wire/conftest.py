"""Decides which gateways the tests share, compiled and uncompiled, and what every test must leave true."""

from __future__ import annotations

import os
import socket
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from ports import free_port

from . import configs, modelling
from .certificates import Authority
from .client import Client
from .oracle import Oracle
from .rig import Gateway, Host, eventually, uncompiled_package
from .tunnelling import Stand, stand

UNCOMPILED_EVERY = 8


@pytest.fixture(scope="session", params=["compiled", pytest.param("uncompiled", marks=pytest.mark.slow)])
def mode(request: pytest.FixtureRequest) -> str:
    """Which data plane the gateways of this test run."""
    chosen: str = request.param
    return chosen


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of a test's many parameters every eighth is tried uncompiled too: what tells most of them apart are kernels, and
    compiled in both. With FASTGW_LONG all are.
    """
    if os.environ.get("FASTGW_LONG"):
        return
    seen: Counter[str] = Counter()
    kept = []
    for item in items:
        spec = getattr(item, "callspec", None)
        if spec is not None and spec.params.get("mode") == "uncompiled":
            name = item.nodeid.partition("[")[0]
            seen[name] += 1
            if seen[name] % UNCOMPILED_EVERY != 1:
                continue
        kept.append(item)
    items[:] = kept


@pytest.fixture(scope="session")
def package_path(mode: str, tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    return uncompiled_package(tmp_path_factory.mktemp("uncompiled")) if mode == "uncompiled" else None


@pytest.fixture(scope="session")
def session_oracle() -> Iterator[Oracle]:
    oracle = Oracle()
    yield oracle
    oracle.close()


@pytest.fixture
def oracle(session_oracle: Oracle) -> Iterator[Oracle]:
    """The upstream. Whatever a test sends, only strict HTTP/1.1 may have arrived there."""
    session_oracle.arrivals.clear()
    session_oracle.errors.clear()
    yield session_oracle
    assert session_oracle.violations() == []


@pytest.fixture(scope="session")
def blackhole() -> Iterator[int]:
    """A port where connecting neither succeeds nor fails: its queue is full, and nobody accepts."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port: int = listener.getsockname()[1]
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        yield port


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tls", action="store_true", help="ask the gateways of tests/wire over TLS")


@pytest.fixture(scope="session")
def front(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Authority | None:
    """Who has issued the certificate of the gateways that the tests share, if they are asked over TLS."""
    return Authority(tmp_path_factory.mktemp("authority")) if request.config.getoption("--tls", False) else None


def _started(text: str, directory: Path, path: Path | None, authority: Authority | None) -> Iterator[Gateway]:
    gateway = Gateway(text, directory, path, authority)
    yield gateway
    gateway.stop()


@pytest.fixture(scope="session")
def session_wide(
    session_oracle: Oracle,
    package_path: Path | None,
    tmp_path_factory: pytest.TempPathFactory,
    front: Authority | None,
) -> Iterator[Gateway]:
    text = configs.wide(session_oracle.port, free_port())
    yield from _started(text, tmp_path_factory.mktemp("wide"), package_path, front)


@pytest.fixture(scope="session")
def session_small(
    session_oracle: Oracle,
    package_path: Path | None,
    tmp_path_factory: pytest.TempPathFactory,
    front: Authority | None,
) -> Iterator[Gateway]:
    yield from _started(configs.small(session_oracle.port), tmp_path_factory.mktemp("small"), package_path, front)


@pytest.fixture(scope="session")
def session_short(
    session_oracle: Oracle,
    blackhole: int,
    package_path: Path | None,
    tmp_path_factory: pytest.TempPathFactory,
    front: Authority | None,
) -> Iterator[Gateway]:
    text = configs.short(session_oracle.port, blackhole)
    yield from _started(text, tmp_path_factory.mktemp("short"), package_path, front)


@pytest.fixture(scope="session")
def session_terms(
    session_oracle: Oracle,
    package_path: Path | None,
    tmp_path_factory: pytest.TempPathFactory,
    front: Authority | None,
) -> Iterator[Gateway]:
    text = configs.terms(session_oracle.port, free_port())
    yield from _started(text, tmp_path_factory.mktemp("terms"), package_path, front)


@pytest.fixture
def gateway(session_wide: Gateway, oracle: Oracle) -> Iterator[Gateway]:  # noqa: ARG001 cleared and judged with it
    """With default limits, and bodies of any size. It must outlive every test."""
    yield session_wide
    assert session_wide.process.poll() is None
    assert "Traceback" not in session_wide.errors.read_text()
    assert " starting another" not in session_wide.errors.read_text()


@pytest.fixture
def small(session_small: Gateway, oracle: Oracle) -> Gateway:  # noqa: ARG001
    """With small limits of size and number."""
    return session_small


@pytest.fixture
def short(session_short: Gateway, oracle: Oracle) -> Gateway:  # noqa: ARG001
    """With short deadlines."""
    return session_short


@pytest.fixture
def terms(session_terms: Gateway, oracle: Oracle) -> Gateway:  # noqa: ARG001
    """With every way to charge for a call."""
    return session_terms


NewHost = Callable[..., Host]


@pytest.fixture
def new_host(terms: Gateway, package_path: Path | None, tmp_path: Path) -> Iterator[NewHost]:
    """Starts data planes beside the worker of `terms`, each with a configuration; they end with the test."""
    with ExitStack() as stack:

        def start(text: str, slot: int = 1, path_of_socket: str = "") -> Host:
            return stack.enter_context(Host(terms, text, tmp_path, package_path, slot, path_of_socket))

        yield start


@pytest.fixture(scope="session")
def session_stand(package_path: Path | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with (
        tempfile.TemporaryDirectory(prefix="fastgw-tunnels-", dir="/dev/shm") as memory,
        stand(tmp_path_factory.mktemp("stand"), package_path, Path(memory)) as started,
    ):
        yield started


@pytest.fixture
def tunnels(session_stand: Stand) -> Iterator[Stand]:
    """A plane for tunnels, with default limits. When a test ends, so have its tunnels, and nothing is left of them."""
    session_stand.service.heads.clear()
    yield session_stand
    assert eventually(lambda: session_stand.gauges()[:3] == (0, 0, 0)), session_stand.gauges()
    assert "Traceback" not in session_stand.host.errors.read_text()


@pytest.fixture(scope="session")
def session_models(package_path: Path | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[modelling.Stand]:
    with (
        tempfile.TemporaryDirectory(prefix="fastgw-models-", dir="/dev/shm") as memory,
        modelling.stand(tmp_path_factory.mktemp("models"), package_path, Path(memory)) as started,
    ):
        yield started


@pytest.fixture
def models(session_models: modelling.Stand) -> Iterator[modelling.Stand]:
    """A plane for calls to models. When a test ends, so have its calls; no provider was sent what is no request."""
    session_models.oracle.arrivals.clear()
    session_models.oracle.errors.clear()
    yield session_models
    assert eventually(lambda: session_models.gauges() == (0, 0)), session_models.gauges()
    assert "Traceback" not in session_models.host.errors.read_text()
    assert session_models.oracle.violations() == []


@pytest.fixture
def client(gateway: Gateway) -> Iterator[Client]:
    """A connection to `gateway`."""
    with gateway.connect() as connection:
        yield connection

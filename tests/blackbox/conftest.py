"""Gives each test an upstream that counts, and gateways that leave nothing behind."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway import Gateway, get


class Upstream:
    """The counting service, in a process of its own."""

    def __init__(self) -> None:
        program = str(Path(__file__).with_name("upstream.py"))
        self.process = subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def calls(self) -> int:
        """How many calls have reached it in this test."""
        return int(get(f"{self.url}/-/count")[1])

    @property
    def last_head(self) -> str:
        """The request line and fields of the last call, as they came."""
        return get(f"{self.url}/-/headers")[1]


@pytest.fixture(scope="session")
def upstream_process() -> Iterator[Upstream]:
    upstream = Upstream()
    try:
        yield upstream
    finally:
        upstream.process.kill()
        upstream.process.wait()


@pytest.fixture
def upstream(upstream_process: Upstream) -> Upstream:
    get(f"{upstream_process.url}/-/reset")
    return upstream_process


@pytest.fixture
def gateway(upstream: Upstream, tmp_path: Path) -> Iterator[Gateway]:
    """A gateway that is yet to be configured and started."""
    with Gateway(tmp_path, upstream.url) as gateway:
        yield gateway


@pytest.fixture
def another(upstream: Upstream, tmp_path: Path) -> Iterator[Gateway]:
    """A second gateway."""
    directory = tmp_path / "another"
    directory.mkdir()
    with Gateway(directory, upstream.url) as gateway:
        yield gateway

"""Decides how the commands are run in tests: in this process, with an environment that leads to a fake gateway."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_gateway import TOKEN, Gateway, Run

from fastgw.cli import main
from fastgw.commands import client


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    """An admin API that the environment leads to, as it would lead `fastgw serve`."""
    for name in list(os.environ):
        if name.startswith("FASTGW_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "admin-token").write_text(f"{TOKEN}\n")
    gateway = Gateway()
    monkeypatch.setenv("FASTGW_ADMIN", gateway.address)
    monkeypatch.setenv("FASTGW_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(client, "PAUSES_S", (0.0, 0.0, 0.0))
    yield gateway
    gateway.close()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line; its exit code, what it printed, and what it complained of."""

    def command(*argv: str) -> tuple[int, str, str]:
        code = main(argv)
        out, err = capsys.readouterr()
        return code, out, err

    return command

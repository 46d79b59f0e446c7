"""Decides how the tests write a configuration file and read what is accepted or refused."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from config_files import Accept, Refuse

from fastgw.config.load import load
from fastgw.model import Config, ConfigError


@pytest.fixture(autouse=True)
def in_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has a directory of its own, so that messages name `fastgw.toml` without a path before it."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def accept() -> Accept:
    def run(
        text: str | None, flags: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None
    ) -> Config:
        return load(_written(text), flags or {}, environ or {})

    return run


@pytest.fixture
def refuse() -> Refuse:
    """Load what must be refused; the lines of all problems."""

    def run(
        text: str | None, flags: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None
    ) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(_written(text), flags or {}, environ or {})
        assert caught.value.problems
        return [str(problem) for problem in caught.value.problems]

    return run


def _written(text: str | None) -> str | None:
    if text is None:
        return None
    Path("fastgw.toml").write_text(text)
    return "fastgw.toml"

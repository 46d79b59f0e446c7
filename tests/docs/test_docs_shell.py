"""Every `fastgw` of the manual's shell lines can be called so; what it serves or checks is right."""

import os
import sys
from pathlib import Path
from types import ModuleType

import pytest
from pages import PAGES, blocks
from pem_files import Pem
from shell import CALLS, Call, parsed

from fastgw.cli import commands, main
from fastgw.model import Config
from fastgw.published import Source


def file_of(page: Path) -> str:
    """The first whole file that a page shows, or that of the README."""
    for candidate in (page, *PAGES):
        for block in blocks(candidate):
            if block.language == "toml" and not block.mark:
                return block.text
    raise AssertionError("no page shows a whole file")


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_a_call_can_be_parsed(call: Call) -> None:
    parsed(commands(), call.arguments)


@pytest.mark.parametrize(
    "call", [call for call in CALLS if call.arguments[:1] in (["serve"], ["check"])], ids=lambda call: call.name
)
def test_what_is_served_or_checked_is_right(
    call: Call, tmp_path: Path, pem: Pem, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[Config] = []

    def run(config: Config, _: Source) -> int:
        served.append(config)
        return 0

    module = ModuleType("fastgw.supervisor")
    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fastgw.supervisor", module)
    for name in [name for name in os.environ if name.startswith("FASTGW_")]:
        monkeypatch.delenv(name)
    for name, value in ({"OPENAI_API_KEY": "sk-openai", "ANTHROPIC_API_KEY": "sk-ant"} | call.environment).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    Path("fastgw.toml").write_text(file_of(call.block.page))
    arguments = [argument.replace("/etc/fastgw/", "") for argument in call.arguments]
    for name in arguments:
        if name.endswith(".pem"):
            pem.put(tmp_path / name)
    assert main(arguments) == 0
    assert len(served) == (call.arguments[0] == "serve")

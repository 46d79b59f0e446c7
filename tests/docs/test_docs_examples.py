"""Every example does what it tells, with one command, and leaves nothing behind."""

import subprocess
import sys
from pathlib import Path

import pytest
from gateway import clean_environment
from pages import ROOT

from fastgw.config.load import load

EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/run"))
FILES = [example / "fastgw.toml" for example in EXAMPLES]


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_goes_as_it_is_told(example: Path, tmp_path: Path) -> None:
    environment = clean_environment({"TMPDIR": str(tmp_path)})
    done = subprocess.run(
        [sys.executable, example / "run"], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("All of it was as told.\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_the_file_of_an_example_loads_as_it_is(file: Path) -> None:
    assert load(str(file), {}, {"OPENAI_API_KEY": "sk-openai"}).routes


def test_readme_links_every_example() -> None:
    text = (ROOT / "README.md").read_text()
    assert EXAMPLES
    for example in EXAMPLES:
        assert f"(examples/{example.name}/README.md)" in text
        assert f"examples/{example.name}/run" in (example / "README.md").read_text()

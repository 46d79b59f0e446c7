"""`fastgw prompt`: what it shows of the prompts of a file, and how one is tried at a provider."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from provider import Provider, order

from fastgw.cli import main

Run = Callable[..., tuple[int, str, str]]
TITLE = '{ properties = { title = { type = "string" } }, required = ["title"], additionalProperties = false }'


@pytest.fixture
def run(provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command about a file of prompts; its exit code, what it printed, and what it complained of."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FASTGW_KEY", raising=False)
    file = tmp_path / "fastgw.toml"
    file.write_text(f"""
[[providers]]
name = "own"
url = "{provider.url}/v1"
keys = ["sk-prov-0001"]
models = ["gpt-4o-mini"]
price = {{ input = "1", output = "2" }}

[[providers]]
name = "claude"
type = "anthropic"
upstream = {{ targets = ["{provider.url}"] }}
keys = ["sk-prov-0002"]

[[prompts]]
name = "sum"
model = "gpt-4o-mini"
system = "Be brief."
template = "In {{{{ words }}}} words: {{{{ text }}}}"
parameters = {{ max_tokens = 100 }}
price = "0.01"
inputs = {{ properties = {{ text = {{ type = "string" }}, words = {{ type = "integer", default = 9 }} }} }}

[[prompts]]
name = "sum"
version = "2"
current = false
model = "claude-haiku-4-5"
template = "{{{{ text }}}}"
price = "0.5"
tokens = "included"

[[prompts]]
name = "title"
model = "gpt-4o-mini"
template = "{{{{ text }}}}"
output = {TITLE}
""")
    monkeypatch.setenv("FASTGW_CONFIG", str(file))

    def command(*argv: str) -> tuple[int, str, str]:
        code = main(("prompt", *argv))
        out, err = capsys.readouterr()
        return code, out, err

    return command


def test_prompts_of_a_file_are_listed_and_shown(run: Run) -> None:
    code, out, _ = run("list")
    lines = [line.split() for line in out.splitlines()]
    assert (code, lines[1][:7]) == (0, ["sum", "1", "yes", "/prompts/sum", "gpt-4o-mini", "0.01", "charged"])
    assert lines[2][:7] == ["sum", "2", "no", "/prompts/sum@2", "claude-haiku-4-5", "0.5", "included"]
    assert [item["name"] for item in json.loads(run("list", "--json")[1])] == ["sum", "sum", "title"]
    code, out, _ = run("show", "sum")
    assert code == 0
    assert "user\n  In {{ words }} words: {{ text }}\n" in out
    assert json.loads(run("show", "title", "--json")[1])["output"]["required"] == ["title"]
    assert sorted(json.loads(run("openapi")[1])["paths"])[0] == "/prompts/sum"


def test_a_dry_run_shows_what_would_be_asked_and_held(run: Run, provider: Provider) -> None:
    code, out, err = run("try", "sum", "-i", "text=a\x1b[2J", "-i", "words=7", "--dry-run")
    assert (code, err) == (0, "")
    assert "user\n  In 7 words: a\\x1b[2J\n" in out
    held = out.rpartition("at most ")[2].strip()
    assert 0.0102 < float(held) < 0.0103
    assert run("try", "sum", "--version", "2", "-i", "text=a", "--dry-run")[1].rstrip().endswith("at most 0.5")
    assert provider.books.arrivals == []


def test_a_prompt_is_tried_at_its_provider(run: Run, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(order(say=5))
    code, out, err = run("try", "sum", "-i", "text=@text.txt")
    assert (code, out) == (0, "w0 w1 w2 w3 w4 \n")
    assert "out=5" in err
    assert "by own/gpt-4o-mini" in err
    assert "a call costs 0.0100" in err
    (tmp_path / "in.json").write_text(json.dumps({"text": order(say=3)}))
    code, out, err = run("try", "sum", "--version", "2", "--inputs", "in.json")
    assert (code, out) == (0, "w0 w1 w2 \n")  # in another dialect
    assert "a call costs 0.5; its tokens 0.0000" in err
    code, out, _ = run("try", "title", "-i", f"text={order(text=json.dumps({'title': 'a'}))}")
    assert (code, json.loads(out)) == (0, {"title": "a"})


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (("try", "nothing"), 1, "there is sum, title"),
        (("try", "sum", "--version", "9"), 1, "there is 1, 2"),
        (("try", "sum", "-i", "text"), 2, "must be NAME=VALUE"),
        (("try", "sum", "-i", "text=@nowhere"), 2, "cannot be read"),
        (("try", "sum", "-i", "words=many"), 1, 'words: the value is not of type "integer"'),
        (("try", "title"), 1, '"text" is a required property'),
        (("try", "title", "-i", f"text={order(say=3)}"), 1, "the model's answer is no JSON"),
        (("try", "title", "-i", f"text={order(refuse=True, text='no')}"), 1, "declined to answer: no"),
        (("try", "sum", "-i", f"text={order(error='rate_limit')}"), 1, "own/gpt-4o-mini answers 429"),
        (("try", "sum", "-i", f"text={order(fault='close', after=2)}"), 1, "ends before its end"),
        (("try", "sum", "-i", "text=a", "--key", "sk-acme-0001", "--url", "http://127.0.0.1:1"), 3, "does not answer"),
    ],
)
def test_what_goes_wrong_is_told(run: Run, argv: tuple[str, ...], code: int, words: str) -> None:
    ended, _, err = run(*argv)
    assert words in err
    assert ended == code

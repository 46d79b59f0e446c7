"""Every block of TOML in the manual is a configuration that loads."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from pages import PAGES, Block, blocks
from pem_files import Pem

from fastgw.config.catalogue import catalogue
from fastgw.config.load import load
from fastgw.config.record_files import check_files

TOML = [block for page in PAGES for block in blocks(page) if block.language == "toml"]
ENVIRON = {"PROVIDER_KEY": "sk-provider", "OPENAI_API_KEY": "sk-openai", "ANTHROPIC_API_KEY": "sk-ant"}
JSON_LINES = [block for page in PAGES for block in blocks(page) if block.language == "jsonl"]


def completed(text: str) -> str:
    """A fragment with the least that it needs: what it names and does not hold, and a route."""
    document = tomllib.loads(text)

    def missing(kind: str, *named: tuple[str, str]) -> set[str]:
        there = {table["name"] for table in document.get(kind, [])}
        return {table[field] for array, field in named for table in document.get(array, []) if field in table} - there

    upstreams = missing("upstreams", ("routes", "upstream"))
    routes = {name for plan in document.get("plans", []) for name in plan.get("prices", {})}
    routes -= {route["name"] for route in document.get("routes", [])}
    if not routes and "routes" not in document:
        routes = {"api"}
    if routes and "upstreams" not in document:
        upstreams.add("billing")
    upstream = next(iter(upstreams), "") or document.get("upstreams", [{"name": ""}])[0]["name"]
    return text + "".join(
        [
            *(f'\n[[upstreams]]\nname = "{name}"\ntargets = ["http://127.0.0.1:9001"]\n' for name in upstreams),
            *(f'\n[[routes]]\nname = "{name}"\npath = "/{name}/"\nupstream = "{upstream}"\n' for name in routes),
            *(f'\n[[accounts]]\nname = "{name}"\n' for name in missing("accounts", ("keys", "account"))),
            *(f'\n[[plans]]\nname = "{name}"\n' for name in missing("plans", ("accounts", "plan"))),
        ]
    )


def files_of(value: Any) -> set[str]:
    """Every value of a document that ends like a file of certificates or keys."""
    if isinstance(value, dict):
        return {file for item in value.values() for file in files_of(item)}
    if isinstance(value, list):
        return {file for item in value for file in files_of(item)}
    return {value} if isinstance(value, str) and value.endswith(".pem") else set()


@pytest.mark.parametrize("block", TOML, ids=lambda block: block.name)
def test_a_block_of_toml_loads(block: Block, tmp_path: Path, pem: Pem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = block.text.replace('"/etc/fastgw/', '"')
    assert block.mark in ("", "fragment"), block.mark
    if block.mark == "fragment":
        text = completed(text)
    for name in files_of(tomllib.loads(text)):
        pem.put(tmp_path / name)
    Path("fastgw.toml").write_text(text)
    for name in ("keys_file", "accounts_file"):
        if file := tomllib.loads(text).get("server", {}).get(name):
            Path(file).write_text("")
    config = load("fastgw.toml", {}, ENVIRON)
    assert config.routes
    check_files(config, str)


def test_every_known_provider_is_in_the_manual() -> None:
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
    for name, entry in catalogue().items():
        variables = ", ".join(f"`{variable}`" for variable in entry.key) or "none"
        assert f"| `{name}` | `{entry.url}` | {variables} |\n" in page


@pytest.mark.parametrize("block", JSON_LINES, ids=lambda block: block.name)
def test_lines_of_json_are_keys_or_accounts(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "lines.jsonl"
    file.write_text(block.text)
    kind = "keys_file" if '"key"' in block.text else "accounts_file"
    text = completed(f'[server]\n{kind} = "{file}"\n')
    if kind == "keys_file":
        text += '[[accounts]]\nname = "acme"\n'
    (tmp_path / "fastgw.toml").write_text(text)
    config = load(str(tmp_path / "fastgw.toml"), {}, ENVIRON)
    counts = check_files(config, str)
    assert counts.keys + counts.accounts >= len(block.lines)

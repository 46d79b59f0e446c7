"""`fastgw models`: of a gateway that runs, or of the file where none does."""

import json
from pathlib import Path
from typing import Any

import pytest
from fake_gateway import Gateway, Run, rows

FILE = """
[server]
admin = "127.0.0.1:1"

[[providers]]
name = "own"
url = "http://127.0.0.1:9100/v1"
keys = ["sk-provider"]
models = ["m"]
price = { input = "0.5", output = "2" }

[[models]]
name = "fast"
targets = ["own/m", "own/n"]

[[routes]]
name = "ai"
path = "/v1/"
models = ["*"]
"""


def item(name: str, **target: Any) -> dict[str, Any]:
    price = {"input": "0.15", "cached": "0.075", "output": "0.6"}
    served = {"provider": "openai", "model": "gpt-4o-mini", "rank": 0, "weight": 1, "price": price} | target
    return {"name": name, "listed": "/" not in name, "max_tokens": 4096, "limit_tokens": 0, "targets": [served]}


def test_a_running_gateway_tells_prices_and_state(gateway: Gateway, run: Run) -> None:
    down = item("fast", state="down", why="health checks fail")
    gateway.on("GET /v1/models", {"items": [item("openai/gpt-4o-mini", state="up", why=""), down]})
    code, out, err = run("models")
    assert (code, err) == (0, "")
    assert rows(out)[1:] == [
        [
            "fast",
            "openai/gpt-4o-mini",
            "0",
            "1",
            "0.15",
            "0.075",
            "0.6",
            "4,096",
            "0",
            "down",
            "health",
            "checks",
            "fail",
        ]
    ]
    assert [line[0] for line in rows(run("models", "--all")[1])[1:]] == ["openai/gpt-4o-mini", "fast"]
    assert [line[0] for line in rows(run("models", "openai/*")[1])[1:]] == ["openai/gpt-4o-mini"]
    assert run("models", "nothing")[2] == "There are no models.\n"


def test_keys_of_providers_are_told_apart_by_their_place(gateway: Gateway, run: Run) -> None:
    fine = {"key": 1, "state": "ok", "since": None, "until": None, "calls": 7, "rests": 0, "refusals": 0}
    since, until = "2026-11-25T19:00:00Z", "2026-11-25T19:10:00Z"
    refused = {"key": 2, "state": "refused", "since": since, "until": until, "calls": 1, "rests": 0, "refusals": 1}
    providers = [{"name": "own", "keys": [fine, refused]}, {"name": "other", "keys": [fine]}]
    gateway.on("GET /v1/models", {"items": [], "providers": providers})
    assert rows(run("models", "--keys")[1])[1:] == [
        ["own", "1", "ok", "-", "-", "7", "0", "0"],
        ["own", "2", "refused", since, until, "1", "0", "1"],
        ["other", "1", "ok", "-", "-", "7", "0", "0"],
    ]
    assert json.loads(run("models", "oth*", "--keys", "--json")[1]) == providers[1:]
    assert run("models", "none", "--keys")[2] == "There are no providers.\n"


def test_without_a_gateway_the_file_tells_prices(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FASTGW_ADMIN", raising=False)
    Path("fastgw.toml").write_text(FILE)
    code, out, err = run("models", "-c", "fastgw.toml", "--state-dir", str(tmp_path))
    assert (code, err) == (0, "fastgw: no gateway answers; this is what fastgw.toml says\n")
    assert [line[:7] for line in rows(out)[1:]] == [
        ["fast", "own/m", "0", "1", "0.5", "0.5", "2"],
        ["fast", "own/n", "1", "1", "0.5", "0.5", "2"],
        ["m", "own/m", "0", "1", "0.5", "0.5", "2"],
    ]
    code, out, _ = run("models", "m", "--json", "-c", "fastgw.toml", "--state-dir", str(tmp_path))
    [found] = json.loads(out)
    assert (code, found["targets"][0]["state"], found["targets"][0]["price"]["reasoning"]) == (0, "unknown", "2")
    assert "sk-provider" not in out


def test_without_either_there_is_nothing_to_show(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FASTGW_ADMIN", raising=False)
    monkeypatch.delenv("FASTGW_CONFIG", raising=False)
    code, _, err = run("models", "--state-dir", str(tmp_path))
    assert code == 3
    assert "no gateway was started there" in err

"""Calls one by one, followed, and added up, from the shell."""

import json
import time
from typing import Any

import pytest
from fake_gateway import CLOSE, Gateway, Run, page, rows

from fastgw.commands import client
from fastgw.commands.calls import line_of
from fastgw.commands.place import Place, find_place

CALL = {
    "position": 7, "time": "2026-11-20T08:00:00.123456Z", "request_id": "0" * 32, "account": "acme",
    "key_id": "key_0123456789abcdef", "route": "chat", "target": "127.0.0.1:9001", "method": "POST", "path": "/v1/chat",
    "status": 200, "verdict": "admitted", "cost": "0.001", "charged": True, "tokens_in": 0, "tokens_out": 0,
    "bytes_in": 10, "bytes_out": 1000, "decided_us": 9, "first_byte_us": 1200, "total_us": 1234567,
    "address": "127.0.0.1",
}  # fmt: skip
USAGE = {
    "calls": 1234, "charged": 1200, "cost": "1.2", "tokens_in": 5, "tokens_out": 6, "bytes_in": 7, "bytes_out": 8,
    "p50_us": 1500, "p99_us": 20100,
}  # fmt: skip


class Enough(Exception):
    """Ends a follower, which would go on for ever."""


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that a follower made; it ends at the fourth."""
    made: list[float] = []

    def wait(pause_s: float) -> None:
        made.append(pause_s)
        if len(made) == 4:
            raise Enough

    monkeypatch.setattr(time, "sleep", wait)
    return made


def call(number: int) -> dict[str, Any]:
    return {**CALL, "position": number, "path": f"/v1/{number}"}


def test_the_latest_calls_are_lines_below_a_heading(gateway: Gateway, run: Run) -> None:
    refused = {**CALL, "status": 402, "verdict": "insufficient_balance", "cost": "0", "account": "", "total_us": 15}
    gateway.on("GET /v1/calls", page(CALL, refused, next="8"))
    code, out, err = run("logs")
    assert (code, err) == (0, "")
    assert gateway.asked[0]["query"] == {"limit": "20"}
    assert rows(out) == [
        ["time", "status", "verdict", "cost", "ms", "account", "route", "request"],
        ["2026-11-20T08:00:00.123", "200", "admitted", "0.001", "1,234.567", "acme", "chat", "POST", "/v1/chat"],
        ["2026-11-20T08:00:00.123", "402", "insufficient_balance", "0", "0.015", "-", "chat", "POST", "/v1/chat"],
    ]


def test_filters_are_the_gateways(gateway: Gateway, run: Run) -> None:
    gateway.on("GET /v1/calls", page())
    argv = (
        "--account acme --key key_0123456789abcdef --route chat --code admitted --status 200 --path /v1 --min-cost 0.5 "
        f"--request-id {'0' * 32} --since 2026-11-20 --until 2026-11-20T08:00:00+01:00 -n 5"
    ).split()
    assert run("logs", *argv)[0] == 0
    assert gateway.asked[0]["query"] == {
        "account": "acme", "key_id": "key_0123456789abcdef", "route": "chat", "code": "admitted", "status": "200",
        "path": "/v1", "min_cost": "0.5", "request_id": "0" * 32, "since": "2026-11-20T00:00:00Z",
        "until": "2026-11-20T07:00:00Z", "limit": "5",
    }  # fmt: skip


def test_json_is_one_object_a_line(gateway: Gateway, run: Run) -> None:
    gateway.on("GET /v1/calls", page(CALL, call(8), next="8"))
    out = run("logs", "--json")[1]
    assert [json.loads(line) for line in out.splitlines()] == [CALL, call(8)]


def test_no_call_can_forge_a_line(gateway: Gateway, run: Run) -> None:
    gateway.on("GET /v1/calls", page({**CALL, "path": "/\n2026-11-20 200 admitted\x1b[1A\u2028", "method": "G\rT"}))
    out = run("logs")[1]
    assert len(out.splitlines()) == 2
    assert "\x1b" not in out
    assert len(run("logs", "--json")[1].splitlines()) == 1


def test_all_calls_are_read_from_the_beginning_page_by_page(
    gateway: Gateway, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PAGE", 2)
    gateway.on("GET /v1/calls", page(call(1), call(2), next="2"), page(call(3), call(4), next="4"), page(next="4"))
    out = run("logs", "-n", "0", "--json", "--account", "acme")[1]
    assert [json.loads(line)["position"] for line in out.splitlines()] == [1, 2, 3, 4]
    assert [asked["query"]["cursor"] for asked in gateway.asked] == ["0", "2", "4"]
    assert all(asked["query"]["account"] == "acme" for asked in gateway.asked)


def test_a_follower_goes_on_from_what_it_has(
    gateway: Gateway, rounds: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.on(
        "GET /v1/calls", page(call(1), next="5"), page(next="6"), page(call(7), call(8), next="8"), page(next="8")
    )
    follower = client.Client(_place(gateway)).follow("/v1/calls", {"limit": 1, "route": "chat"}, 0.5, time.sleep)
    assert [next(follower)["position"] for _ in range(3)] == [1, 7, 8]
    with pytest.raises(Enough):
        next(follower)
    assert [asked["query"].get("cursor") for asked in gateway.asked] == [None, "5", "6", "8"]
    assert [asked["query"]["limit"] for asked in gateway.asked] == ["1", *["1000"] * 3]
    assert all(asked["query"]["route"] == "chat" for asked in gateway.asked)
    assert rounds == [0.5] * 4
    assert capsys.readouterr().err == ""


def test_a_follower_of_an_empty_log_misses_nothing_that_comes(gateway: Gateway, rounds: list[float]) -> None:
    gateway.on("GET /v1/calls", page(), page(call(1), next="1"))
    follower = client.Client(_place(gateway)).follow("/v1/calls", {"limit": 1}, 0.5, time.sleep)
    assert next(follower)["position"] == 1
    assert gateway.asked[1]["query"]["cursor"] == "0"
    assert len(rounds) == 1


def test_a_follower_that_is_behind_does_not_pause(
    gateway: Gateway, rounds: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PAGE", 1)
    gateway.on("GET /v1/calls", *(page(call(n), next=str(n)) for n in range(1, 6)), page(next="5"))
    follower = client.Client(_place(gateway)).follow("/v1/calls", {"limit": 1}, 0.5, time.sleep)
    assert [next(follower)["position"] for _ in range(5)] == [1, 2, 3, 4, 5]
    assert rounds == []


def test_a_follower_waits_for_a_gateway_that_is_away(
    gateway: Gateway, rounds: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.on("GET /v1/calls", page(call(1), next="1"), CLOSE, CLOSE, page(call(2), next="2"))
    follower = client.Client(_place(gateway)).follow("/v1/calls", {"limit": 1}, 0.5, time.sleep)
    assert [next(follower)["position"] for _ in range(2)] == [1, 2]
    assert len(rounds) == 3
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("Waiting for it.")
    assert "--idempotency-key" not in line


def test_following_begins_with_the_heading_and_ends_when_it_is_told_to(
    gateway: Gateway, run: Run, rounds: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    gateway.on("GET /v1/calls", page(CALL, next="1"))
    code, out, _ = run("logs", "--follow")
    assert code == 130
    assert [line.split()[0] for line in out.splitlines()] == ["time", "2026-11-20T08:00:00.123"]
    assert rounds == []
    assert run("logs", "--follow", "-n", "0")[0] == 2
    gateway.close()
    assert run("logs", "--follow")[0] == 3


def test_a_line_of_a_call_stands_whatever_is_missing_from_it() -> None:
    assert line_of({}).split() == ["-.000", *["-"] * 8]


# Usage


def test_usage_is_by_account_of_the_last_day(gateway: Gateway, run: Run) -> None:
    gateway.on("GET /v1/usage", {"items": [{**USAGE, "account": "acme"}], "complete": True})
    code, out, err = run("usage")
    assert (code, err) == (0, "")
    assert rows(out) == [
        ["account", "calls", "charged", "cost", "tokens", "in", "tokens", "out", "p50", "ms", "p99", "ms"],
        ["acme", "1,234", "1,200", "1.2", "5", "6", "1.500", "20.100"],
    ]
    query = gateway.asked[0]["query"]
    assert {name: query[name] for name in ("by", "limit")} == {"by": "account", "limit": "10000"}
    assert query["since"].endswith("Z")
    assert "every" not in query


@pytest.mark.parametrize(("every", "asked"), [("1h", "hour"), ("60m", "hour"), ("1m", "minute"), ("24h", "day")])
def test_usage_over_time_has_a_row_for_each_interval(gateway: Gateway, run: Run, every: str, asked: str) -> None:
    row = {**USAGE, "start": "2026-11-20T08:00:00Z", "key": "key_0123456789abcdef"}
    gateway.on("GET /v1/usage", {"items": [row], "complete": True})
    out = run("usage", "--by", "key", "--every", every, "--since", "7d", "--account", "acme")[1]
    assert rows(out)[0][:3] == ["from", "key", "calls"]
    assert rows(out)[1][:3] == ["2026-11-20T08:00:00Z", "key_0123456789abcdef", "1,234"]
    query = gateway.asked[0]["query"]
    assert (query["every"], query["by"], query["account"]) == (asked, "key", "acme")


def test_usage_by_several_has_a_column_for_each(gateway: Gateway, run: Run) -> None:
    gateway.on("GET /v1/usage", {"items": [{**USAGE, "account": "acme", "route": "chat"}], "complete": False})
    code, out, err = run("usage", "--by", "account,route")
    assert code == 0
    assert rows(out)[1][:3] == ["acme", "chat", "1,234"]
    assert gateway.asked[0]["query"]["by"] == "account,route"
    assert err.startswith("There is more than this")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["usage", "--by", "colour"], "must be one or more of account, key, route, code"),
        (["usage", "--by", "account,account"], "must be one or more of"),
        (["usage", "--every", "2h"], "must be 1m, 1h or 1d"),
        (["usage", "--since", "yesterday"], "a duration ago like 24h or 30d"),
        (["logs", "-n", "1001"], "-n"),
        (["logs", "--key", "sk-acme-0001"], "must be a key's id"),
        (["logs", "--status", "99"], "--status"),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_asks_nobody(
    gateway: Gateway, run: Run, argv: list[str], message: str
) -> None:
    code, _, err = run(*argv)
    assert code == 2
    assert message in err
    assert gateway.asked == []


def _place(gateway: Gateway) -> Place:

    return find_place(None, gateway.address, "state", {})

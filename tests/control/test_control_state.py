"""The configuration in force, reloads, the state of the parts, the audit, health and metrics."""

import pytest
from admin_rig import Parts, Served
from prometheus_client.parser import text_string_to_metric_families

from fastgw import __version__
from fastgw.ledger.views import Difference
from fastgw.model import Problem
from fastgw.settings import SETTINGS
from fastgw.states import WorkerState


def test_every_setting_is_shown_with_its_origin(served: Served) -> None:
    answer = served("GET", "/v1/config").json()
    assert answer["version"] == __version__
    assert [row["name"] for row in answer["settings"]] == [row.name for row in SETTINGS]
    workers = next(row for row in answer["settings"] if row["name"] == "workers")
    assert workers | {"help": ""} == {
        "name": "workers", "group": "Server", "value": "2", "origin": "fastgw.toml:3",
        "reloadable": next(row.reloadable for row in SETTINGS if row.name == "workers"), "help": "",
    }  # fmt: skip
    assert next(row["origin"] for row in answer["settings"] if row["name"] == "realm") == "default"


def test_routes_and_upstreams_are_shown_without_credentials(served: Served) -> None:
    answer = served("GET", "/v1/config")
    assert answer.json()["upstreams"] == [{"name": "one", "targets": ["http://127.0.0.1:9001"]}]
    route = answer.json()["routes"][0]
    assert (route["name"], route["price"], route["rate"], route["burst"]) == ("api", "0.001", "100/s", 200)
    assert route["set_headers"] == ["authorization"]
    assert "sk-provider-secret" not in answer.text


def test_plans_are_shown_as_they_are_written(served: Served) -> None:
    plans = served("GET", "/v1/plans").json()["items"]
    assert [plan["name"] for plan in plans] == ["pro", "basic"]
    assert plans[:1] == [
        {
            "name": "pro", "rate": "5000/h", "burst": 5_000, "requests_per_day": 1_000, "requests_per_month": 0,
            "token_rate": None, "tokens_per_day": 0, "tokens_per_month": 0,
            "timezone": "Europe/Madrid", "allowance": "1", "prices": {"api": "0.0005"},
        }
    ]  # fmt: skip


def test_a_reload_says_what_changed_and_what_waits(served: Served) -> None:
    answer = served("POST", "/v1/reload")
    assert answer.status_code == 200
    assert answer.json() == {
        "changes": ["routes: 1 changed (api: price 0.001 → 0.002)"], "restart": ["server.workers: 2 → 4"],
    }  # fmt: skip


def test_a_reload_that_is_refused_names_every_line(served: Served, parts: Parts) -> None:
    parts.problems = [Problem("fastgw.toml:12", "routes[0].price = -1: must not be negative"), Problem("keys:3", "bad")]
    answer = served("POST", "/v1/reload")
    assert (answer.status_code, answer.json()["code"]) == (422, "reload_refused")
    assert answer.json()["problems"] == [
        {"where": "fastgw.toml:12", "message": "routes[0].price = -1: must not be negative"},
        {"where": "keys:3", "message": "bad"},
    ]


def test_the_state_has_every_part(served: Served, parts: Parts) -> None:
    state = served("GET", "/v1/state").json()
    assert state["version"] == __version__
    assert (state["held"], state["uncovered"]) == ("0", "0")
    assert state["ledger"] == {
        "lag_ms": 12, "commits": 34, "stopped": False, "error": "", "entries": len(parts.books.lines),
        "size_bytes": 8_192,
    }  # fmt: skip
    assert (state["call_log"]["depth"], state["call_log"]["dropped_cost"]) == (4, "0.002")
    parts.books.down = True
    assert served("GET", "/v1/state").json()["ledger"]["stopped"] is True


def test_an_audit_that_finds_a_difference_has_not_passed(served: Served, parts: Parts) -> None:
    answer = served("GET", "/v1/audit").json()
    assert (answer["passed"], answer["logged"], answer["dropped"], answer["differences"]) == (
        True, "0.0015", "0.002", [],
    )  # fmt: skip
    parts.books.differences = [Difference("filed", "captured: ledger, segment", 1_000_000, 1_000_001)]
    answer = served("GET", "/v1/audit").json()
    assert answer["passed"] is False
    assert answer["differences"] == [
        {"account": "filed", "what": "captured: ledger, segment", "expected": "0.001", "found": "0.001000001"}
    ]


def test_ready_when_as_many_workers_are_as_were_asked_for(served: Served, parts: Parts) -> None:
    def readiness() -> tuple[int, str]:
        answer = served.stranger.get("/readyz")
        return answer.status_code, answer.text

    assert served.stranger.get("/livez").text == "ok\n"
    for index in range(3):
        parts.segment.worker_set(index, 0, WorkerState.ABSENT)
    assert readiness() == (503, "0 of 2 workers are ready\n")
    parts.segment.worker_set(0, 1, WorkerState.READY)
    assert readiness() == (503, "1 of 2 workers are ready\n")
    parts.segment.worker_set(2, 1, WorkerState.READY)  # one took another slot: an upgrade
    assert readiness() == (200, "ok\n")
    state = served("GET", "/v1/state").json()
    assert state["ready"] is True
    assert [worker["state"] for worker in state["workers"]] == ["ready", "absent", "ready"]


def samples(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Value by labels by name; every family has a help text and a name of ours."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation, family.name
        assert family.name.startswith("fastgw_")
        for sample in family.samples:
            labels = tuple(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def test_metrics_tell_of_money_without_naming_an_account(served: Served, parts: Parts) -> None:
    answer = served.stranger.get("/metrics", params={"any": "thing"})
    assert answer.headers["content-type"].count("charset=utf-8") == 1
    found = samples(answer.text)
    assert "filed" not in answer.text
    assert {name: value[()] for name, value in found.items() if () in value and "segment" not in name} | {
        "fastgw_keeper_cpu_seconds_total": 0
    } == {
        "fastgw_held_nanos": 0, "fastgw_ledger_lag_seconds": 0.012, "fastgw_ledger_stopped": 0,
        "fastgw_ledger_commits_total": 34, "fastgw_ledger_entries": len(parts.books.lines),
        "fastgw_ledger_size_bytes": 8_192, "fastgw_journal_depth": 4, "fastgw_call_log_lag_seconds": 0.04,
        "fastgw_call_log_rows_total": 3, "fastgw_call_log_dropped_rows_total": 2,
        "fastgw_call_log_dropped_cost_nanos_total": 2_000_000, "fastgw_call_log_size_bytes": 65_536,
        "fastgw_call_log_failing": 0, "fastgw_calls_in_flight": 0, "fastgw_keys": 0, "fastgw_accounts": 0,
        "fastgw_tunnels": 0, "fastgw_connections_turned_away_total": 0,
        "fastgw_keeper_cpu_seconds_total": 0, "fastgw_access_lines_dropped_total": 0,
    }  # fmt: skip
    assert found["fastgw_keeper_cpu_seconds_total"][()] > 0


def test_metrics_come_as_openmetrics_to_whom_asks_for_it(served: Served) -> None:
    answer = served.stranger.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.text.endswith("# EOF\n")


def test_metrics_answer_while_every_other_thread_waits_for_the_ledger(
    served: Served, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading
    from concurrent.futures import ThreadPoolExecutor

    stuck = threading.Event()
    original = parts.books.account
    monkeypatch.setattr(parts.books, "account", lambda name: (stuck.wait(10), original(name))[1])
    with ThreadPoolExecutor(16) as pool:
        waiting = [pool.submit(served, "GET", "/v1/accounts/filed") for _ in range(16)]
        try:
            for path in ("/metrics", "/livez", "/readyz"):
                assert served.stranger.get(path, timeout=5).status_code in (200, 503)
        finally:
            stuck.set()
        assert {done.result().status_code for done in waiting} == {200}

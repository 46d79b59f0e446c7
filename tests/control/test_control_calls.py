"""What a call would meet, and what calls there were."""

import pytest
from admin_rig import Parts, Served

from fastgw.refusals import Refusal

FILED = "key_0000000000000001"


def test_a_quote_says_the_price_and_that_it_would_be_admitted(served: Served, parts: Parts) -> None:
    for body in (
        {"key_id": FILED, "route": "api"},
        {"key": "sk-filed-0001", "route": "api"},
        {"key": "sk-filed-0001", "path": "/v1/x"},
    ):
        answer = served("POST", "/v1/quote", body)
        assert answer.status_code == 200
        assert answer.json() == {
            "admitted": True, "verdict": "admitted", "status": 200, "why": "The call would be admitted now.",
            "route": "api", "account": "filed", "key_id": FILED, "price": "0.001",
        }  # fmt: skip
        assert parts.gate.asked[-1] == (0, 0)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            {"verdict": Refusal.INSUFFICIENT_BALANCE, "price": 2_000_000, "available": -1},
            {"status": 402, "price": "0.002", "available": "-0.000000001"},
        ),
        (
            {"verdict": Refusal.BALANCE_HELD, "available": 0},
            {"status": 402, "available": "0", "retry_after_seconds": 1},
        ),
        (
            {"verdict": Refusal.RATE_LIMITED, "wait_ns": 1_200_000_000, "policy": "plan"},
            {"status": 429, "retry_after_seconds": 2, "policy": "plan"},
        ),
        (
            {"verdict": Refusal.QUOTA_EXHAUSTED, "limit": 5, "used": 5, "window": "day", "resets_at": 1_800_000_000},
            {"status": 402, "limit": 5, "used": 5, "window": "day", "resets_at": "2027-01-15T08:00:00Z"},
        ),
        (
            {"verdict": Refusal.BUDGET_EXHAUSTED, "available": 1, "resets_at": 0},
            {"status": 402, "available": "0.000000001"},
        ),
    ],
)
def test_a_quote_that_is_refused_says_why_with_the_numbers(
    served: Served, parts: Parts, found: dict[str, int], said: dict[str, object]
) -> None:
    parts.gate.refusal = found
    answer = served("POST", "/v1/quote", {"key_id": FILED, "route": "api"}).json()
    assert answer["admitted"] is False
    assert answer["verdict"] == Refusal(found["verdict"]).name.lower()
    assert answer["why"].endswith(".")
    assert said.items() <= answer.items()


def test_a_quote_needs_no_key_where_the_route_needs_none(served: Served, parts: Parts) -> None:
    assert served("POST", "/v1/quote", {"route": "open"}).json()["admitted"] is True
    assert parts.gate.asked[-1] == (1, -1)
    assert served("POST", "/v1/quote", {"route": "api"}).json()["verdict"] == "missing_key"
    nowhere = served("POST", "/v1/quote", {"key_id": FILED, "path": "/v1/x", "host": "other.example"}).json()
    assert (nowhere["verdict"], nowhere["route"], nowhere["price"]) == ("no_route", None, "0")


@pytest.mark.parametrize(
    ("body", "status", "where"),
    [
        ({}, 400, "body.route"),
        ({"route": "other"}, 400, "body.route"),
        ({"route": "api", "path": "/"}, 400, "body.path"),
        ({"route": "api", "key": "sk-filed-0001", "key_id": FILED}, 400, "body.key_id"),
        ({"path": "no slash"}, 400, "body.path"),
        ({"path": "/x", "method": "get"}, 400, "body.method"),
        ({"path": "/x", "host": "a b"}, 400, "body.host"),
        ({"route": "api", "key": "sk-unknown-1"}, 404, None),
        ({"route": "api", "key_id": "key_ffffffffffffffff"}, 404, None),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused(
    served: Served, body: dict[str, str], status: int, where: str | None
) -> None:
    answer = served("POST", "/v1/quote", body)
    assert answer.status_code == status
    assert where is None or answer.json()["problems"][0]["where"] == where
    assert "sk-unknown-1" not in answer.text


def test_calls_come_the_latest_last_with_money_as_it_is_written(served: Served) -> None:
    page = served("GET", "/v1/calls").json()
    assert [call["position"] for call in page["items"]] == [1, 2, 3]
    assert [call["cost"] for call in page["items"]] == ["0.001", "0", "0.0005"]
    assert [call["charged"] for call in page["items"]] == [True, False, True]
    assert page["next"] == "3"
    assert served("GET", "/v1/calls", params={"limit": 1}).json()["items"][0]["position"] == 3


def test_who_follows_sees_every_call_once(served: Served) -> None:
    first = served("GET", "/v1/calls", params={"cursor": 0, "limit": 2}).json()
    rest = served("GET", "/v1/calls", params={"cursor": first["next"], "limit": 2}).json()
    end = served("GET", "/v1/calls", params={"cursor": rest["next"], "limit": 2}).json()
    assert [call["position"] for call in first["items"] + rest["items"]] == [1, 2, 3]
    assert end == {"items": [], "next": "3"}


def test_who_follows_a_filter_does_not_look_again_at_what_it_left_out(served: Served) -> None:
    found = served("GET", "/v1/calls", params={"cursor": 0, "code": "insufficient_balance"}).json()
    assert [call["position"] for call in found["items"]] == [2]
    assert found["next"] == "3"


def test_filters_reach_the_log_exactly(served: Served, parts: Parts) -> None:
    asked = {
        "account": "filed", "key_id": FILED, "route": "api", "code": "admitted", "status": 200, "path": "/v1/",
        "request_id": "0123456789abcdef0123456789abcdef", "min_cost": "0.001", "since": "2026-11-20T14:00:00.000001Z",
        "until": "2026-11-20T16:00:00+01:00",
    }  # fmt: skip
    assert served("GET", "/v1/calls", params=asked).status_code == 200
    wanted = parts.call_log.asked[-1]
    assert (wanted.account, wanted.key_id, wanted.route, wanted.code) == ("filed", FILED, "api", "admitted")
    assert (wanted.status, wanted.path_prefix, wanted.cost_min_nanos) == (200, "/v1/", 1_000_000)
    assert wanted.request_id == "0123456789abcdef0123456789abcdef"
    assert wanted.since_ns == 1_795_183_200_000_001_000
    assert wanted.until_ns == 1_795_186_800_000_000_000


@pytest.mark.parametrize(
    "query",
    ["acount=x", "status=99", "status=2xx", "since=yesterday", "since=2026-11-20T14:00:00", "min_cost=1e3", "code=NO",
     "cursor=-1", "cursor=x", "limit=1001", "path=", "request_id=1", "account=a&account=b"],
)  # fmt: skip
def test_a_filter_that_is_not_understood_is_not_left_out(served: Served, parts: Parts, query: str) -> None:
    before = len(parts.call_log.asked)
    answer = served("GET", f"/v1/calls?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert answer.json()["problems"][0]["where"] == f"query.{query.partition('=')[0]}"
    assert len(parts.call_log.asked) == before


def test_usage_is_added_up_by_what_is_asked_for(served: Served, parts: Parts) -> None:
    rows = served("GET", "/v1/usage").json()
    assert [(row["account"], row["calls"], row["cost"]) for row in rows["items"]] == [
        ("acme", 1, "0.0005"), ("filed", 2, "0.001"),
    ]  # fmt: skip
    assert rows["complete"] is True
    assert parts.call_log.asked[-1].since_ns > 0  # of a day, if nothing is said: logs grow large
    by_code = served("GET", "/v1/usage", params={"by": "code", "every": "hour", "account": "filed"}).json()["items"]
    assert [(row["start"], row["code"]) for row in by_code] == [
        ("2026-11-20T14:00:00Z", "admitted"), ("2026-11-20T14:00:00Z", "insufficient_balance"),
    ]  # fmt: skip
    pairs = served("GET", "/v1/usage", params={"by": "account,code"}).json()["items"]
    assert [(row["account"], row["code"], row["calls"]) for row in pairs] == [
        ("acme", "admitted", 1), ("filed", "admitted", 1), ("filed", "insufficient_balance", 1),
    ]  # fmt: skip
    total = served("GET", "/v1/usage", params={"by": ""}).json()["items"]
    assert [(row["calls"], row["charged"]) for row in total] == [(3, 2)]
    assert served("GET", "/v1/usage", params={"limit": 1}).json()["complete"] is False
    for wrong in ("address", "account,", "account,key,route,code,model,tag,account"):
        assert served("GET", "/v1/usage", params={"by": wrong}).status_code == 400

"""The admin API over the real ledger, segment, call log and admission: what is done here is what calls meet."""

import time
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest
from admin_rig import RealParts, Served, eventually

names = (f"real-{number}" for number in count(1))


@pytest.fixture
def name(real: Served) -> str:
    """An account on a plan without allowance, that has nothing."""
    found = next(names)
    assert real("POST", "/v1/accounts", {"name": found, "plan": "basic"}).status_code == 201
    return found


def index_of(real: Served, name: str) -> int:
    """The account's place in the segment."""
    assert isinstance(real.parts, RealParts)
    ledger, segment = real.parts.ledger, real.parts.segment
    return next(index for index in range(segment.account_count) if ledger.account_name(index) == name)


def quote(real: Served, key_id: str) -> dict[str, object]:
    found: dict[str, object] = real("POST", "/v1/quote", {"key_id": key_id, "path": "/v1/x"}).json()
    return found


def test_a_quote_follows_what_is_done_to_the_account(real: Served, name: str) -> None:
    made = real("POST", "/v1/keys", {"account": name}).json()
    key_id = made["key"]["id"]
    poor = quote(real, key_id)
    assert (poor["verdict"], poor["price"], poor["available"]) == ("insufficient_balance", "0.0005", "0")
    real("POST", f"/v1/accounts/{name}/topups", {"amount": "0.0005"})
    assert quote(real, key_id) | {"why": ""} == {
        "admitted": True, "verdict": "admitted", "status": 200, "why": "", "route": "api", "account": name,
        "key_id": key_id, "price": "0.0005", "available": "0.0005",
    }  # fmt: skip
    by_text = real("POST", "/v1/quote", {"key": made["secret"], "route": "api"}).json()
    assert (by_text["key_id"], by_text["admitted"]) == (key_id, True)
    real("PATCH", f"/v1/accounts/{name}", {"suspended": True})
    assert quote(real, key_id)["verdict"] == "account_suspended"
    end = datetime.fromtimestamp(int(time.time()) + 1, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    real("PATCH", f"/v1/accounts/{name}", {"suspended": False, "expires": end})
    eventually(lambda: quote(real, key_id).get("expired_at") == end)
    assert quote(real, key_id)["verdict"] == "subscription_expired"
    assert real("PATCH", f"/v1/accounts/{name}", {"expires": None}).status_code == 200
    real("PATCH", f"/v1/keys/{key_id}", {"budget": "0.0001", "budget_period": "month"})
    spent = quote(real, key_id)
    assert (spent["verdict"], spent["available"]) == ("budget_exhausted", "0.0001")
    assert "resets_at" in spent
    real("POST", f"/v1/keys/{key_id}/revoke")
    assert quote(real, key_id)["verdict"] == "revoked_key"


def test_a_route_that_costs_nothing_is_quoted_so(real: Served) -> None:
    found = real("POST", "/v1/quote", {"route": "open"}).json()
    assert (found["verdict"], found["price"], "available" in found) == ("admitted", "0", False)


def test_what_calls_capture_is_in_the_balance_and_the_entries(real: Served, name: str) -> None:
    real("POST", f"/v1/accounts/{name}/topups", {"amount": "2", "reference": "invoice 1"})
    index = index_of(real, name)
    assert real.parts.segment.hold(0, index, 750_000_000)
    held = real("GET", f"/v1/accounts/{name}").json()
    assert (held["balance"], held["held"], held["available"]) == ("2", "0.75", "1.25")
    real.parts.segment.capture(0, index, 750_000_000, 500_000_000)
    entries = real("GET", f"/v1/accounts/{name}/entries").json()["items"]
    assert [(entry["kind"], entry["amount"]) for entry in entries] == [
        ("topup", "2"), ("capture", "-0.5"),
    ]  # fmt: skip
    assert real("GET", f"/v1/accounts/{name}").json()["balance"] == "1.5"
    refused = real("POST", f"/v1/accounts/{name}/adjustments", {"amount": "-1.6", "note": "too much"})
    assert (refused.status_code, refused.json()["available"]) == (409, "1.5")


def test_an_audit_sees_a_capture_that_no_call_explains(tmp_path: Path) -> None:
    found = Served(tmp_path, parts=RealParts)
    try:
        audit = found("GET", "/v1/audit").json()
        assert (audit["passed"], audit["balance"], audit["captured"], audit["logged"]) == (True, "5", "0", "0")
        index = index_of(found, "filed")
        assert found.parts.segment.hold(0, index, 7)
        found.parts.segment.capture(0, index, 7, 7)
        audit = found("GET", "/v1/audit").json()
        assert (audit["passed"], audit["captured"], audit["logged"]) == (False, "0.000000007", "0")
        assert "filed" in {difference["account"] for difference in audit["differences"]}
    finally:
        found.stop()


def test_a_top_up_is_once_by_its_key_and_refused_with_another_body(real: Served, name: str) -> None:
    path, key = f"/v1/accounts/{name}/topups", {"Idempotency-Key": f"{name}-1"}
    first, again = (real("POST", path, {"amount": "4"}, headers=key) for _ in range(2))
    assert first.json() == again.json()
    assert real("POST", path, {"amount": "5"}, headers=key).json()["code"] == "idempotency_mismatch"
    assert (
        real("POST", f"/v1/accounts/{name}/adjustments", {"amount": "4", "note": "x"}, headers=key).status_code == 422
    )


def test_the_files_resources_are_read_and_not_written(real: Served) -> None:
    account = real("GET", "/v1/accounts/filed").json()
    assert (account["origin"], account["balance"]) == ("file", "5")
    assert real("PATCH", "/v1/accounts/filed", {"credit": "1"}).json()["code"] == "declared_in_file"
    key = next(key for key in real("GET", "/v1/keys?account=filed").json()["items"] if key["origin"] == "file")
    assert real("POST", f"/v1/keys/{key['id']}/revoke").json()["code"] == "declared_in_file"
    assert quote(real, key["id"])["admitted"] is True


def test_pages_of_the_largest_size_lose_nothing(real: Served) -> None:
    keys = [real("POST", "/v1/keys", {"account": "filed"}).json()["key"]["id"] for _ in range(5)]
    seen: list[str] = []
    cursor = None
    while True:
        page = real("GET", "/v1/keys", params={"limit": 3, **({"cursor": cursor} if cursor else {})}).json()
        seen += [key["id"] for key in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert set(keys) <= set(seen)
    assert len(seen) == len(set(seen))
    assert [key["id"] for key in real("GET", "/v1/keys", params={"limit": 1_000}).json()["items"]] == seen


def test_state_and_metrics_come_from_the_real_parts(real: Served) -> None:
    state = real("GET", "/v1/state").json()
    assert state["ledger"]["commits"] > 0
    assert state["held"] == "0"
    assert state["call_log"]["error"] == ""
    text = real.stranger.get("/metrics").text
    assert "fastgw_ledger_commits_total" in text
    assert "fastgw_held_nanos 0.0" in text
    assert real("GET", "/v1/calls").json()["items"] == []
    assert real("GET", "/v1/usage").json() == {"items": [], "complete": True}

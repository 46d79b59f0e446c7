"""Quotas count calls that were served in a calendar day or month, budgets count what a key has spent; they say when
they reset, and what they refuse is not forwarded and takes nothing."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from .client import Client
from .configs import PRICE
from .oracle import Oracle, Talk
from .rig import Gateway
from .test_wire_plans import call, said


def midnight_after(now: datetime) -> datetime:
    """The start of the next day where `now` is, in UTC."""
    tomorrow = now.date() + timedelta(days=1)
    return datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=now.tzinfo).astimezone(UTC)


def month_after(now: datetime) -> datetime:
    return datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=now.tzinfo).astimezone(UTC)


def test_a_day_s_calls_end_at_midnight_where_the_plan_is_at_home(
    gateway: Gateway, client: Client, oracle: Oracle
) -> None:
    """Two calls a day: one that failed in between is none of them, as it is not charged."""
    key, resets_at = "sk-wire-daily-0001", midnight_after(datetime.now(ZoneInfo("Pacific/Auckland")))
    with oracle.script(lambda talk: talk.answer(500)) as failing:
        statuses = [call(client, path, key).status for path in ("/v1/x", f"/v1/{failing}", "/v1/x")]
    assert statuses == [200, 500, 200]
    arrived = len(oracle.arrivals)
    for path in ("/v1/x", "/openai/x"):
        answer = call(client, path, key)
        assert (answer.status, said(answer)["code"]) == (402, "quota_exhausted")
        assert (said(answer)["limit"], said(answer)["used"], said(answer)["window"]) == (2, 2, "day")
        assert datetime.fromisoformat(said(answer)["resets_at"]) == resets_at
        assert answer.all("retry-after") == []
    assert len(oracle.arrivals) == arrived
    assert gateway.captured("daily") == 2 * PRICE


def test_a_month_s_calls_are_counted_where_nothing_is_to_be_paid(
    gateway: Gateway, client: Client, oracle: Oracle
) -> None:
    key, resets_at = "sk-wire-monthly-01", month_after(datetime.now(UTC))
    assert call(client, "/forwarded/x", key).status == 200
    answer = call(client, "/forwarded/x", key)
    assert (answer.status, said(answer)["code"], said(answer)["window"]) == (402, "quota_exhausted", "month")
    assert datetime.fromisoformat(said(answer)["resets_at"]) == resets_at
    assert len(oracle.arrivals) == 1
    assert gateway.captured("monthly") == 0


def test_a_key_s_budget_ends_before_its_account_is_empty(gateway: Gateway, client: Client, oracle: Oracle) -> None:
    key, resets_at, before = "sk-wire-budgeted-1", midnight_after(datetime.now(UTC)), gateway.captured("budgeted")
    assert call(client, "/v1/x", key).status == 200
    for path in ("/v1/x", "/openai/x"):
        answer = call(client, path, key)
        assert (answer.status, said(answer)["code"]) == (402, "budget_exhausted")
        assert (said(answer)["price"], said(answer)["available"]) == ("0.001", "0.0009")
        assert datetime.fromisoformat(said(answer)["resets_at"]) == resets_at
    assert len(oracle.arrivals) == 1
    assert gateway.captured("budgeted") == before + PRICE


def test_a_budget_that_is_given_once_never_resets(client: Client) -> None:
    answer = call(client, "/v1/x", "sk-wire-budgeted-2")
    assert (answer.status, said(answer)["code"], said(answer)["resets_at"]) == (402, "budget_exhausted", None)


@pytest.mark.parametrize("path", ["/v1/x", "/openai/x"])
def test_a_budget_that_a_call_in_flight_holds_is_worth_another_try(gateway: Gateway, oracle: Oracle, path: str) -> None:
    arrived, done = threading.Event(), threading.Event()

    def script(talk: Talk) -> None:
        arrived.set()
        assert done.wait(10)
        talk.answer(500)  # free, so that the budget stays as it was

    key = "sk-wire-budgeted-3"
    with oracle.script(script) as name, gateway.connect() as first, gateway.connect() as second:
        first.send(f"GET /v1/{name} HTTP/1.1\r\nHost: wire\r\nx-api-key: {key}\r\n\r\n".encode())
        assert arrived.wait(10)
        answer = call(second, path, key)
        done.set()
        assert first.read().status == 500
    assert (answer.status, answer.one("retry-after"), said(answer)["code"]) == (402, "1", "balance_held")
    assert (said(answer)["price"], said(answer)["available"]) == ("0.001", "0.0009")

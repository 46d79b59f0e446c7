"""A quote finds what the decision finds, whatever stands in the way, and takes nothing."""

import time
from typing import Any

import _kernels
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_build import scratch_segment
from shop import ACME, BUDGET, DAY, HOUR_NS, MONTH, Shop, body, decide

from fastgw._segment import Segment
from fastgw.model import Rate
from fastgw.refusals import TABLE, Refusal
from fastgw.rows import PlanRow
from fastgw.states import AccountStatus, KeyStatus


@pytest.fixture
def shop(segment: Segment) -> Shop:
    return Shop(segment)


def test_a_quote_of_a_key_that_nobody_names_or_a_route_that_needs_none(shop: Shop) -> None:
    assert shop.gate().quote(0, -1)["verdict"] is Refusal.MISSING_KEY
    shop.row |= {"needs_key": False}
    free = shop.gate().quote(0, -1)
    assert (free["verdict"], free["price"], free["available"]) == (Refusal.ADMITTED, 0, None)
    with pytest.raises(IndexError):
        shop.gate().quote(1, -1)
    shop.row |= {"needs_key": True}
    with pytest.raises(IndexError):
        shop.gate().quote(0, shop.key + 1)


NOW = int(time.time())
MONEY = st.sampled_from([-40, 0, 29, 30, 45, 60, 10**9])
CALLS = st.integers(0, 3)
EXPIRY = st.sampled_from([0, 0, 0, NOW - 1, NOW + 3600])


@settings(max_examples=100)
@given(
    balance=MONEY, budget=st.none() | MONEY, day=st.none() | CALLS, month=st.none() | CALLS, price=st.integers(0, 31),
    plan_price=st.none() | st.sampled_from([0, 15, 45]), plan=st.booleans(), plan_rate=st.booleans(),
    rate=st.booleans(), key_rate=st.booleans(), stopped=st.booleans(),
    status=st.sampled_from([*[AccountStatus.ACTIVE] * 9, AccountStatus.SUSPENDED, AccountStatus.CLOSED]),
    expires=EXPIRY, key_expires=EXPIRY,
    calls=st.integers(0, 4), settled=st.integers(0, 4),
)  # fmt: skip
def test_a_quote_is_what_the_decision_is(
    balance: int, budget: int | None, day: int | None, month: int | None, price: int, plan_price: int | None,
    plan: bool, plan_rate: bool, rate: bool, key_rate: bool, stopped: bool, status: AccountStatus, expires: int,
    key_expires: int, calls: int, settled: int,
) -> None:  # fmt: skip
    hourly = Rate(1, HOUR_NS, 3)
    segment = scratch_segment()
    shop = Shop(segment, price_nanos=price, rate=hourly if rate else None)
    shop.row["plan_prices"] = {} if plan_price is None else {shop.plan: plan_price}
    shop.plans = [PlanRow(shop.plan, hourly if plan_rate else None, day or 0, month or 0)]
    gate = shop.gate()
    tickets = [gate.ticket() for _ in range(calls) if decide(gate) is Refusal.ADMITTED]
    for ticket in tickets[:settled]:
        gate.settle(ticket, 0, 200, True, -1, 0, 0, 1)
    segment.set_granted(ACME, balance)
    shop.terms(
        plan=shop.plan if plan else 0, status=status, expires_s=expires,
        day=-1 if day is None else DAY, month=-1 if month is None else MONTH,
    )  # fmt: skip
    for meter, limit in ((DAY, day), (MONTH, month), (BUDGET, budget)):
        segment.set_granted(meter, limit or 0)
    segment.set_key(
        shop.key, ACME, segment.limit(1, HOUR_NS, 2) if key_rate else 0, KeyStatus.ACTIVE, key_expires,
        -1 if budget is None else BUDGET,
    )  # fmt: skip
    segment.stop_money(stopped)

    before = shop.books()
    quote = gate.quote(0, shop.key)
    assert shop.books() == before
    assert segment.journal_written(0) == len(tickets[:settled])
    verdict = decide(gate)
    assert quote["verdict"] is verdict
    assert (quote["wait_ns"] > 0) == (verdict is Refusal.RATE_LIMITED) == (quote["policy"] != "")
    if verdict is Refusal.ADMITTED:
        held = gate.ticket().held_nanos
        assert quote["price"] == held
        assert quote["available"] is None if held == 0 else quote["available"] >= held
    else:
        assert shop.books() == before
        document = body(gate, verdict)
        for number in TABLE[verdict].numbers:
            name = number.name.lower()
            assert document[name] == said(name, quote[name])


def said(name: str, value: Any) -> Any:
    if name in {"price", "available"}:
        return _kernels.money(value).decode()
    if name in {"resets_at", "expired_at"}:
        return _kernels.timestamp(value).decode() if value else None
    return value

"""A call's account, plan, quotas, budget and balance are decided together: all or none, in a fixed order."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kernel_build import gate_tables, make_gate, money
from shop import ACME, BUDGET, DAY, HOUR_NS, MONTH, PEER, REQUEST, SOON, Shop, decide, refused

import fastgw
from fastgw._core import Gate
from fastgw._segment import Segment
from fastgw.model import Rate
from fastgw.refusals import Number, Refusal
from fastgw.rows import PlanRow
from fastgw.states import AccountStatus, KeyStatus


@pytest.fixture
def shop(segment: Segment) -> Shop:
    return Shop(segment)


# One thing after the other


@pytest.mark.parametrize("status", [AccountStatus.SUSPENDED, AccountStatus.CLOSED])
def test_an_account_that_is_not_active_is_refused_whatever_it_has(shop: Shop, status: AccountStatus) -> None:
    gate = shop.gate()
    shop.terms(status=status, expires_s=1)
    before = shop.books()
    refused(gate, Refusal.ACCOUNT_SUSPENDED)
    assert shop.books() == before
    shop.terms()
    assert decide(gate) is Refusal.ADMITTED


def test_a_subscription_ends_at_its_second(shop: Shop) -> None:
    gate = shop.gate()
    shop.terms(expires_s=951_827_696)
    assert refused(gate, Refusal.SUBSCRIPTION_EXPIRED) == {"expired_at": "2000-02-29T12:34:56Z"}
    shop.terms(expires_s=SOON)
    assert decide(gate) is Refusal.ADMITTED


def test_the_plan_s_price_goes_before_the_route_s(shop: Shop) -> None:
    shop.row["plan_prices"] = {shop.plan: 7}
    gate = shop.gate()
    assert decide(gate) is Refusal.ADMITTED
    assert gate.ticket().held_nanos == 30  # the account is not on the plan yet
    shop.terms()
    assert decide(gate) is Refusal.ADMITTED
    assert gate.ticket().held_nanos == 7
    shop.terms(plan=shop.segment.plan_slot("silver"))  # which this route, and this table, knows nothing of
    assert decide(gate) is Refusal.ADMITTED
    assert gate.ticket().held_nanos == 30


def test_a_plan_may_make_a_call_free(shop: Shop) -> None:
    shop.row["plan_prices"] = {shop.plan: 0}
    shop.terms()
    shop.segment.set_granted(ACME, 0)
    assert decide(shop.gate()) is Refusal.ADMITTED


def test_the_plan_s_rate_is_the_account_s_whichever_key_calls(shop: Shop) -> None:
    shop.plans = [PlanRow(shop.plan, Rate(1, HOUR_NS, 2), 0, 0)]
    shop.terms()
    other = shop.segment.add_key(shop.segment.digest(b"other"), ACME, 0, KeyStatus.ACTIVE, 0)
    gate = shop.gate()
    assert decide(gate) is Refusal.ADMITTED
    second = REQUEST.replace(b"Bearer sk", b"Bearer other")
    gate.begin(second, 0, len(second))
    assert gate.decide(PEER) == Refusal.ADMITTED
    assert shop.segment.key(other)["account"] == ACME
    before = shop.books()
    assert decide(gate) is Refusal.RATE_LIMITED
    assert b'RateLimit-Policy: "plan";q=2;w=7200\r\n' in gate.refuse(Refusal.RATE_LIMITED, False)
    assert shop.books() == before


def test_of_several_limits_the_one_that_takes_longest_is_named(shop: Shop) -> None:
    shop.row["rate"] = Rate(1, HOUR_NS, 1)
    shop.plans = [PlanRow(shop.plan, Rate(1, 2 * HOUR_NS, 1), 0, 0)]
    limit = shop.segment.limit(1, 3 * HOUR_NS, 1)
    shop.terms()
    gate = shop.gate()
    assert decide(gate) is Refusal.ADMITTED
    assert decide(gate) is Refusal.RATE_LIMITED
    assert b'RateLimit: "plan";r=0;t=7200\r\n' in gate.refuse(Refusal.RATE_LIMITED, False)
    shop.segment.set_key(shop.key, ACME, limit, KeyStatus.ACTIVE, 0)
    shop.terms(plan=0)
    shop.row["rate"] = None
    gate = shop.gate()
    assert decide(gate) is Refusal.ADMITTED
    shop.row["rate"] = Rate(1, HOUR_NS, 1)
    shop.terms()
    gate = shop.gate()
    assert decide(gate) is Refusal.RATE_LIMITED
    assert b'RateLimit: "key";r=0;t=10800\r\n' in gate.refuse(Refusal.RATE_LIMITED, False)


@pytest.mark.parametrize(("day", "month", "window"), [(2, 9, "day"), (9, 2, "month"), (2, 2, "month")])
def test_a_quota_counts_calls_that_are_served_even_for_free(shop: Shop, day: int, month: int, window: str) -> None:
    shop.row["price_nanos"] = 0
    shop.quotas(day, month, resets_s=1_796_083_200)
    gate = shop.gate()
    for charge in (True, False, True):
        assert decide(gate) is Refusal.ADMITTED
        gate.settle(gate.ticket(), 0, 200, charge, -1, 0, 0, 1)
    before = shop.books()
    assert refused(gate, Refusal.QUOTA_EXHAUSTED) == {
        "limit": 2, "used": 2, "window": window, "resets_at": "2026-12-01T00:00:00Z",
    }  # fmt: skip
    assert shop.books() == before
    assert money(shop.segment, DAY)["captured"] == money(shop.segment, MONTH)["captured"] == 2


def test_a_quota_that_was_lowered_says_how_much_is_used(shop: Shop) -> None:
    shop.quotas(day=5)
    gate = shop.gate()
    for _ in range(3):
        assert decide(gate) is Refusal.ADMITTED
    shop.quotas(day=1)
    assert refused(shop.gate(), Refusal.QUOTA_EXHAUSTED)["used"] == 3


def test_a_quota_starts_anew_with_its_window(shop: Shop) -> None:
    shop.quotas(day=1)
    gate = shop.gate()
    assert decide(gate) is Refusal.ADMITTED
    gate.settle(gate.ticket(), 0, 200, True, -1, 0, 0, 1)
    assert decide(gate) is Refusal.QUOTA_EXHAUSTED
    shop.segment.set_granted(DAY, 2)
    assert decide(gate) is Refusal.ADMITTED


def test_the_budget_of_a_key_ends_before_the_balance_of_its_account(shop: Shop) -> None:
    shop.budget(59, expires_s=1_796_083_200)
    gate = shop.gate()
    assert decide(gate) is Refusal.ADMITTED
    gate.settle(gate.ticket(), 0, 200, True, 20, 0, 0, 1)
    assert money(shop.segment, BUDGET)["captured"] == money(shop.segment, ACME)["captured"] == 20
    assert decide(gate) is Refusal.ADMITTED
    before = shop.books()
    assert refused(gate, Refusal.BALANCE_HELD) == {"price": "0.00000003", "available": "0.000000009"}
    assert shop.books() == before
    gate.settle(gate.ticket(), 0, 200, True, -1, 0, 0, 1)
    assert refused(gate, Refusal.BUDGET_EXHAUSTED) == {
        "price": "0.00000003", "available": "0.000000009", "resets_at": "2026-12-01T00:00:00Z",
    }  # fmt: skip
    shop.budget(59)
    assert refused(gate, Refusal.BUDGET_EXHAUSTED)["resets_at"] is None
    shop.budget(80)
    assert decide(gate) is Refusal.ADMITTED


def test_a_budget_means_nothing_to_a_free_call(shop: Shop) -> None:
    shop.row["price_nanos"] = 0
    shop.budget(0)
    assert decide(shop.gate()) is Refusal.ADMITTED


def test_money_that_is_gone_is_said_before_money_that_is_only_held(shop: Shop) -> None:
    """Who waits for the calls in flight of a budget is not to hear then that the account is empty."""
    shop.segment.set_granted(ACME, 40)
    shop.budget(40)
    gate = shop.gate()
    assert decide(gate) is Refusal.ADMITTED
    assert decide(gate) is Refusal.BALANCE_HELD
    shop.segment.set_granted(ACME, 29)
    assert refused(gate, Refusal.INSUFFICIENT_BALANCE) == {"price": "0.00000003", "available": "-0.000000001"}
    shop.budget(29)
    assert decide(gate) is Refusal.BUDGET_EXHAUSTED


def test_while_the_ledger_cannot_write_only_what_is_free_goes_on(shop: Shop) -> None:
    gate = shop.gate()
    shop.segment.stop_money(True)
    before = shop.books()
    assert decide(gate) is Refusal.LEDGER_UNAVAILABLE
    assert b"\r\nRetry-After: 1\r\n" in gate.refuse(Refusal.LEDGER_UNAVAILABLE, False)
    assert shop.books() == before
    shop.row["price_nanos"] = 0
    assert decide(shop.gate()) is Refusal.ADMITTED
    shop.segment.stop_money(False)
    assert decide(gate) is Refusal.ADMITTED


ORDER: list[tuple[Refusal, Callable[[Shop], object]]] = [
    (Refusal.EXPIRED_KEY, lambda shop: shop.expire()),
    (Refusal.ACCOUNT_SUSPENDED, lambda shop: shop.spoil(status=2)),
    (Refusal.SUBSCRIPTION_EXPIRED, lambda shop: shop.spoil(expires_s=1)),
    (Refusal.RATE_LIMITED, lambda shop: decide(make_gate(shop.segment, 1, shop.row | {"price_nanos": 0}))),
    (Refusal.QUOTA_EXHAUSTED, lambda shop: shop.spoil(day=DAY)),
    (Refusal.LEDGER_UNAVAILABLE, lambda shop: shop.segment.stop_money(True)),
    (Refusal.BUDGET_EXHAUSTED, lambda shop: shop.budget(0)),
    (Refusal.INSUFFICIENT_BALANCE, lambda shop: shop.segment.set_granted(ACME, 0)),
]


SPOILED_FIRST_TO_LAST = {Refusal.RATE_LIMITED: -1, Refusal.EXPIRED_KEY: 1}  # it takes an admitted call; it lasts


@pytest.mark.parametrize("number", range(len(ORDER)))
def test_of_everything_that_refuses_the_first_in_order_is_said(shop: Shop, number: int) -> None:
    shop.row["rate"] = Rate(1, HOUR_NS, 1)
    shop.plans = [PlanRow(shop.plan, None, 0, 0)]
    for _, spoil in sorted(ORDER[number:], key=lambda pair: SPOILED_FIRST_TO_LAST.get(pair[0], 0)):
        spoil(shop)
    before = shop.books()
    assert decide(shop.gate()) is ORDER[number][0]
    assert shop.books() == before


# All or none


def test_one_call_holds_everything_and_gives_everything_back(shop: Shop) -> None:
    shop.budget(50)
    shop.quotas(5, 6)
    gate = shop.gate()
    assert decide(gate) is Refusal.ADMITTED
    ticket = gate.ticket()
    assert [money(shop.segment, index)["held"] for index in range(4)] == [30, 30, 1, 1]
    gate.settle(ticket, 0, 500, False, -1, 0, 0, 1)
    assert [money(shop.segment, index)["committed"] for index in range(4)] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("charge", "cost", "captured"),
    [(True, -1, 30), (True, 0, 0), (True, 12, 12), (True, 31, 30), (True, 2**62, 30), (True, -2, 0), (False, 12, 0)],
)
def test_what_is_charged_is_never_more_than_what_is_held(shop: Shop, charge: bool, cost: int, captured: int) -> None:
    shop.budget(50)
    shop.quotas(5, 6)
    gate = shop.gate()
    assert decide(gate) is Refusal.ADMITTED
    gate.settle(gate.ticket(), 0, 200, charge, cost, 0, 0, 1)
    assert [money(shop.segment, index)["captured"] for index in range(4)] == [captured, captured, charge, charge]
    assert [money(shop.segment, index)["held"] for index in range(4)] == [0, 0, 0, 0]
    assert shop.segment.journal_cost(0) == captured


def test_a_killed_worker_s_holds_of_every_kind_are_found(shop: Shop) -> None:
    shop.budget(50)
    shop.quotas(5, 6)
    assert decide(shop.gate()) is Refusal.ADMITTED
    shop.segment.recover(0)
    assert [money(shop.segment, index)["committed"] for index in range(4)] == [0, 0, 0, 0]


def spend_until_refused(shop: Shop, worker: int) -> None:
    """Call until a refusal is final; every third call is not charged, all others in full."""
    gate = shop.gate(worker)
    number = 0
    while True:
        verdict = decide(gate)
        if verdict is Refusal.ADMITTED:
            number += 1
            gate.settle(gate.ticket(), 0, 200, number % 3 != 0, -1, 0, 0, 1)
        elif verdict is not Refusal.BALANCE_HELD and not any(money(shop.segment, i)["held"] for i in range(4)):
            return


@pytest.mark.parametrize("scarce", ["balance", "budget", "day", "month", "plan's rate", "route's rate"])
def test_workers_that_race_for_the_last_of_one_thing_take_all_of_the_others_with_it(shop: Shop, scarce: str) -> None:
    calls, plenty = 8000, 10**6
    shop.segment.set_granted(ACME, 30 * (calls if scarce == "balance" else plenty) + 29)
    shop.budget(30 * (calls if scarce == "budget" else plenty) + 29)
    tight, loose = Rate(1, HOUR_NS, calls), Rate(10**9, 10**9, 10**9)
    shop.row["rate"] = tight if scarce == "route's rate" else loose
    shop.plans = [PlanRow(shop.plan, tight if scarce == "plan's rate" else loose, 0, 0)]
    shop.quotas(calls if scarce == "day" else plenty, calls if scarce == "month" else plenty)
    children = []
    for worker in range(3):
        pid = os.fork()
        if pid == 0:
            spend_until_refused(shop, worker)
            os._exit(0)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0, 0]
    account, budget, day, month = (money(shop.segment, index) for index in range(4))
    assert [each["held"] for each in (account, budget, day, month)] == [0, 0, 0, 0]
    assert account["captured"] == budget["captured"] == 30 * day["captured"] == 30 * month["captured"]
    if "rate" in scarce:  # which counts what is not charged, too
        assert calls // 2 < day["captured"] <= calls
    else:
        assert day["captured"] == calls


def test_what_refuses_has_the_numbers_of_the_table() -> None:
    kernels = Path(fastgw.__file__).parent / "kernels"
    verdicts = re.findall(r"CLAIM_(\w+) = (\d+)", (kernels / "claim.pxd").read_text())
    assert {name: int(value) for name, value in verdicts} == {
        "GRANTED": 0, **{name: Refusal[name].value for name, _ in verdicts if name != "GRANTED"},
    }  # fmt: skip
    numbers = re.findall(r"NUMBER_(\w+) = (\d+)", (kernels / "template.pxd").read_text())
    assert {name: int(value) for name, value in numbers} == {number.name: number.value for number in Number}


# Reloading


def test_a_call_in_flight_keeps_the_table_that_admitted_it(shop: Shop) -> None:
    gate = shop.gate()
    assert decide(gate) is Refusal.ADMITTED
    ticket = gate.ticket()
    shop.row |= {"price_nanos": 40, "dialect": 1}
    reload_as(gate, shop)
    assert decide(gate) is Refusal.ADMITTED
    assert gate.ticket().held_nanos == 40
    assert b"problem+json" in gate.fail(ticket, Refusal.UPSTREAM_FAILED, False)
    gate.settle(ticket, 0, 200, True, -1, 0, 0, 1)
    assert money(shop.segment, ACME)["captured"] == 30


def reload_as(gate: Gate, shop: Shop, **options: Any) -> None:
    gate.reload(*gate_tables(shop.segment, shop.row, plans=shop.plans), **options)


def test_what_cannot_be_loaded_leaves_everything_as_it_was(shop: Shop) -> None:
    gate = shop.gate()
    shop.row |= {"price_nanos": 40, "rate": Rate(0, 1, 1)}
    with pytest.raises(ValueError, match="positive"):
        reload_as(gate, shop)
    assert decide(gate) is Refusal.ADMITTED
    assert gate.ticket().held_nanos == 30


def test_a_reload_changes_the_limits_of_a_head(shop: Shop) -> None:
    gate = shop.gate()
    reload_as(gate, shop, fields_max=1, key_header=b"x-shop-key", body_max=10)
    assert gate.begin(REQUEST, 0, len(REQUEST)) != 0
    reload_as(gate, shop, fields_max=9, key_header=b"x-shop-key", body_max=10)
    own = b"POST / HTTP/1.1\r\nHost: h\r\nX-Shop-Key: sk\r\nContent-Length: %d\r\n\r\n"
    for length, verdict in ((10, Refusal.ADMITTED), (11, Refusal.BODY_TOO_LARGE)):
        data = own % length
        assert gate.begin(data, 0, len(data)) == 0
        assert gate.decide(PEER) == verdict

"""The hold of a call in flight grows by money of its account and its key's budget, all or none; it stays one hold."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from kernel_build import money
from shop import ACME, BUDGET, DAY, MONTH, SOON, Shop, decide

from fastgw._call import Ticket
from fastgw._core import Gate
from fastgw._segment import Segment
from fastgw.refusals import Refusal
from fastgw.states import AccountStatus, KeyStatus


@pytest.fixture
def shop(segment: Segment) -> Shop:
    """The account has 100 nanos; a call holds 30 at first."""
    return Shop(segment)


def admitted(gate: Gate) -> Ticket:
    assert decide(gate) is Refusal.ADMITTED
    return gate.ticket()


def settle(gate: Gate, ticket: Ticket, cost: int, charge: bool = True) -> None:
    gate.settle(ticket, 0, 101, charge, cost, 0, 0, 1)


def captured(shop: Shop, index: int) -> int:
    found = money(shop.segment, index)
    assert found["held"] == 0
    assert found["committed"] == found["captured"]
    return found["captured"]


def test_a_hold_grows_step_by_step_and_is_settled_as_one(shop: Shop) -> None:
    gate = shop.gate()
    ticket = admitted(gate)
    for step in (1, 9, 40):
        assert gate.extend(ticket, step) == 0
    assert ticket.held_nanos == shop.segment.worker(0)["held"] == 80
    assert money(shop.segment, ACME)["committed"] == 80
    settle(gate, ticket, 77)
    assert captured(shop, ACME) == 77
    assert shop.segment.worker(0)["held"] == 0
    with pytest.raises(ValueError, match="in flight"):
        gate.extend(ticket, 1)


@pytest.mark.parametrize(("charge", "cost", "charged"), [(False, 5, 0), (True, -1, 80), (True, 81, 80), (True, 0, 0)])
def test_a_hold_that_grew_is_captured_up_to_all_of_it_or_void(
    shop: Shop, charge: bool, cost: int, charged: int
) -> None:
    gate = shop.gate()
    ticket = admitted(gate)
    assert gate.extend(ticket, 50) == 0
    settle(gate, ticket, cost, charge)
    assert captured(shop, ACME) == charged


def test_what_is_not_there_is_refused_and_changes_nothing(shop: Shop) -> None:
    gate = shop.gate()
    ticket = admitted(gate)
    before = shop.books()
    assert gate.extend(ticket, 71) == Refusal.INSUFFICIENT_BALANCE
    assert (shop.books(), ticket.held_nanos, shop.segment.worker(0)["held"]) == (before, 30, 30)
    answer = gate.fail(ticket, Refusal.INSUFFICIENT_BALANCE, False)
    numbers: dict[str, Any] = orjson.loads(answer.partition(b"\r\n\r\n")[2])
    assert (numbers["price"], numbers["available"]) == ("0.000000071", "0.00000007")
    assert gate.extend(ticket, 70) == 0
    assert gate.extend(ticket, 1) == Refusal.INSUFFICIENT_BALANCE  # its own hold is not what others keep from it
    assert gate.extend(ticket, 0) == 0


def test_money_that_others_hold_is_told_from_money_that_is_gone(shop: Shop) -> None:
    gate, other = shop.gate(), shop.gate(1)
    ticket, rival = admitted(gate), admitted(other)
    assert gate.extend(ticket, 41) == Refusal.BALANCE_HELD
    assert gate.extend(ticket, 71) == Refusal.INSUFFICIENT_BALANCE
    settle(other, rival, 30)
    assert gate.extend(ticket, 41) == Refusal.INSUFFICIENT_BALANCE
    assert gate.extend(ticket, 40) == 0


def test_a_top_up_is_there_at_the_next_step(shop: Shop) -> None:
    gate = shop.gate()
    ticket = admitted(gate)
    assert gate.extend(ticket, 100) == Refusal.INSUFFICIENT_BALANCE
    shop.segment.set_granted(ACME, 130)
    assert gate.extend(ticket, 100) == 0


def test_the_budget_of_the_key_grows_with_it_or_neither(shop: Shop) -> None:
    shop.budget(50, SOON)
    gate = shop.gate()
    ticket = admitted(gate)
    before = shop.books()
    assert gate.extend(ticket, 21) == Refusal.BUDGET_EXHAUSTED
    assert shop.books() == before
    assert gate.extend(ticket, 20) == 0
    shop.segment.set_granted(BUDGET, 1000)
    before = shop.books()
    assert gate.extend(ticket, 51) == Refusal.INSUFFICIENT_BALANCE
    assert shop.books() == before
    settle(gate, ticket, 44)
    assert (captured(shop, ACME), captured(shop, BUDGET)) == (44, 44)


def test_a_call_keeps_the_budget_that_it_began_to_hold_from(shop: Shop) -> None:
    gate = shop.gate()
    without = admitted(gate)
    shop.budget(10, SOON)
    assert gate.extend(without, 20) == 0
    settle(gate, without, 50)
    assert (captured(shop, ACME), captured(shop, BUDGET)) == (50, 0)


def test_a_call_without_a_price_holds_from_its_key_s_budget_once_it_grows(shop: Shop) -> None:
    shop.budget(10, SOON)
    shop.quotas()
    shop.row["price_nanos"] = 0
    gate = shop.gate()
    ticket = admitted(gate)
    assert gate.extend(ticket, 11) == Refusal.BUDGET_EXHAUSTED
    assert (gate.extend(ticket, 4), gate.extend(ticket, 5)) == (0, 0)
    settle(gate, ticket, 8)
    assert [captured(shop, index) for index in (ACME, BUDGET, DAY, MONTH)] == [8, 8, 1, 1]


SPOILED: list[tuple[Callable[[Shop], None], Refusal]] = [
    (lambda shop: shop.segment.set_key(shop.key, ACME, 0, KeyStatus.REVOKED, 0), Refusal.REVOKED_KEY),
    (lambda shop: shop.segment.set_key(shop.key, ACME, 0, KeyStatus.ACTIVE, 1), Refusal.EXPIRED_KEY),
    (lambda shop: shop.terms(status=AccountStatus.SUSPENDED), Refusal.ACCOUNT_SUSPENDED),
    (lambda shop: shop.terms(expires_s=1), Refusal.SUBSCRIPTION_EXPIRED),
]


@pytest.mark.parametrize(("spoil", "verdict"), SPOILED, ids=[verdict.name.lower() for _, verdict in SPOILED])
def test_who_may_not_call_any_more_may_not_go_on_either(
    shop: Shop, spoil: Callable[[Shop], None], verdict: Refusal
) -> None:
    gate = shop.gate()
    ticket = admitted(gate)
    assert gate.extend(ticket, 0) == 0
    spoil(shop)
    before = shop.books()
    assert gate.extend(ticket, 0) == verdict
    assert gate.extend(ticket, 1) == verdict
    assert shop.books() == before
    settle(gate, ticket, -1)
    assert captured(shop, ACME) == 30


def test_nothing_more_is_held_while_the_ledger_cannot_write(shop: Shop) -> None:
    gate = shop.gate()
    ticket = admitted(gate)
    shop.segment.stop_money(True)
    assert gate.extend(ticket, 1) == Refusal.LEDGER_UNAVAILABLE
    assert gate.extend(ticket, 0) == 0
    shop.segment.stop_money(False)
    assert gate.extend(ticket, 1) == 0


def test_a_call_of_nobody_holds_nothing(shop: Shop) -> None:
    shop.row["needs_key"] = False
    gate = shop.gate()
    ticket = admitted(gate)
    assert gate.extend(ticket, 0) == 0
    for nanos in (1, -1):
        with pytest.raises(ValueError, match="its key can pay"):
            gate.extend(ticket, nanos)

"""What a call in flight is noted to have come to cost is charged and recorded when its worker is killed, once."""

import re
from pathlib import Path
from typing import Any

import _kernels
import numpy as np
import pytest
from kernel_build import make_gate, money
from shop import ACME, BUDGET, DAY, MONTH, SOON, Shop, decide

import fastgw
from fastgw._call import Ticket
from fastgw._core import Gate
from fastgw._segment import RECORD_BYTES, Segment
from fastgw.calllog.records import RECORD
from fastgw.refusals import Refusal


@pytest.fixture
def shop(segment: Segment) -> Shop:
    """The account has 100 nanos; a call holds 30 at first."""
    return Shop(segment)


def admitted(gate: Gate) -> Ticket:
    assert decide(gate) is Refusal.ADMITTED
    return gate.ticket()


def rows(segment: Segment, first: int = 0) -> Any:
    return np.frombuffer(segment.journal(0, first)[0], RECORD)


def recover(shop: Shop, places: tuple[int, ...] = (ACME,)) -> list[int]:
    """What is captured once nothing is held; however often it is recovered, it is the same."""
    found = []
    for _ in range(2):
        shop.segment.recover(0)
        books = [money(shop.segment, place) for place in places]
        assert all(book["held"] == 0 and book["committed"] == book["captured"] for book in books)
        found.append([book["captured"] for book in books])
    assert found[0] == found[1]
    return found[0]


def test_a_killed_worker_s_call_is_charged_what_was_noted_last(shop: Shop) -> None:
    gate = shop.gate()
    ticket, other = admitted(gate), admitted(gate)
    gate.earn(ticket, 200, 3, 10, 20, 7)
    assert gate.extend(ticket, 25) == 0
    gate.earn(ticket, 200, 41, 11, 21, 7)
    gate.earn(ticket, 200, 40, 99, 99, 9)  # less than before is none
    assert money(shop.segment, ACME)["captured"] == 0
    before = shop.segment.counters(0, 0)[Refusal.WORKER_DIED]
    assert recover(shop) == [41]
    [row] = rows(shop.segment)
    assert (row["number"], row["cost"], row["cost_sum"], row["verdict"], row["status"]) == (1, 41, 41, 36, 200)
    assert (row["bytes_in"], row["bytes_out"], row["target"], row["flags"]) == (11, 21, 7, 1)
    assert b"%016x%016x" % tuple(row["request"]) == ticket.request_id() != other.request_id()
    assert (row["account"], row["key"], row["route"], bytes(row["path"][:2])) == (ACME + 1, shop.key + 1, 1, b"/\0")
    assert shop.segment.counters(0, 0)[Refusal.WORKER_DIED] == before + 1


def test_its_budget_and_its_quotas_are_charged_with_it(shop: Shop) -> None:
    shop.budget(60, SOON)
    shop.quotas()
    gate = shop.gate()
    noted, void = admitted(gate), admitted(gate)
    gate.earn(noted, 200, 12, 0, 0, 1)
    gate.earn(void, 200, 0, 0, 0, 1)
    assert recover(shop, (ACME, BUDGET, DAY, MONTH)) == [12, 12, 1, 1]
    assert len(rows(shop.segment)) == 1


@pytest.mark.parametrize(("cost", "captured"), [(-1, 0), (0, 0), (1, 1), (30, 30), (31, 30), (1 << 62, 30)])
def test_it_is_never_more_than_what_is_held(shop: Shop, cost: int, captured: int) -> None:
    gate = shop.gate()
    gate.earn(admitted(gate), 200, cost, 0, 0, 1)
    assert recover(shop) == [captured]


@pytest.mark.parametrize(("charge", "cost", "captured"), [(False, -1, 0), (True, 4, 4), (True, -1, 30)])
def test_a_call_that_ends_is_charged_what_its_end_says(shop: Shop, charge: bool, cost: int, captured: int) -> None:
    gate = shop.gate()
    ticket = admitted(gate)
    gate.earn(ticket, 200, 20, 0, 0, 1)
    gate.settle(ticket, 0, 200, charge, cost, 0, 0, 1)
    gate.earn(ticket, 200, 25, 0, 0, 1)
    assert recover(shop) == [captured]
    assert [row["verdict"] for row in rows(shop.segment)] == [0]


def test_a_call_that_nothing_is_held_for_earns_nothing(segment: Segment) -> None:
    shop = Shop(segment, price_nanos=0)
    gate = shop.gate()
    ticket = admitted(gate)
    gate.earn(ticket, 200, 5, 0, 0, 1)
    assert recover(shop) == [0]
    assert len(rows(segment)) == 0


def test_a_slot_is_used_again_and_by_a_worker_that_comes_after(shop: Shop) -> None:
    shop.segment.set_granted(ACME, 10**6)
    for costs in ((3, 5, 7), (11, 13)):
        gate = shop.gate()
        for _ in range(3 * _kernels.OPENS):
            ticket = admitted(gate)
            gate.earn(ticket, 200, 1, 0, 0, 1)
            gate.settle(ticket, 0, 200, False, 0, 0, 0, 1)
        before = shop.segment.journal_written(0)
        for cost in costs:
            gate.earn(admitted(gate), 200, cost, 0, 0, 1)
        captured = money(shop.segment, ACME)["captured"]
        assert recover(shop) == [captured + sum(costs)]
        assert sorted(rows(shop.segment, before)["cost"]) == list(costs)


def test_calls_beyond_the_slots_are_void_as_others_are(shop: Shop) -> None:
    shop.segment.set_granted(ACME, 10**9)
    gate = shop.gate()
    tickets = [admitted(gate) for _ in range(_kernels.OPENS + 3)]
    for ticket in tickets:
        gate.earn(ticket, 200, 2, 0, 0, 1)
    gate.settle(tickets[0], 0, 200, False, 0, 0, 0, 1)
    gate.earn(tickets[-1], 200, 9, 0, 0, 1)
    assert recover(shop) == [(_kernels.OPENS - 1) * 2 + 9]


def test_what_was_left_unrecovered_is_nobody_else_s(segment: Segment, shop: Shop) -> None:
    """A slot of a worker that nobody has recovered is empty before it is another call's."""
    first = shop.gate()
    first.earn(admitted(first), 200, 30, 0, 0, 1)
    gate = make_gate(segment, 0, shop.row, plans=shop.plans)
    gate.earn(admitted(gate), 200, 1, 0, 0, 1)
    assert recover(shop) == [1]


def test_the_kernels_call_it_by_its_number() -> None:
    text = (Path(fastgw.__file__).parent / "kernels" / "opens.pxd").read_text()
    assert re.findall(r"OPEN_WORKER_DIED = (\d+)", text) == [str(int(Refusal.WORKER_DIED))]
    assert RECORD.itemsize == RECORD_BYTES

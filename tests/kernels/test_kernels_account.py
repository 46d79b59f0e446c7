"""Money is exact: holds, captures and voids follow a model, and a kill between any two stores leaves no error."""

from collections.abc import Callable
from itertools import product

import _kernels
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from kernel_build import money, scratch_segment

from fastgw._segment import Segment, account_digest

NAME = account_digest("acme")
WORKERS = 3
INSUFFICIENT, HELD = 1, 2
NewSegment = Callable[..., Segment]


class Books(RuleBasedStateMachine):
    """Three workers on one account, beside a list of open holds and three integers."""

    def __init__(self) -> None:
        super().__init__()
        self.segment = scratch_segment()
        self.open: list[tuple[int, int]] = []  # (worker, nanos held)
        self.captured = 0

    @initialize(granted=st.integers(0, 1000), credit=st.integers(0, 200))
    def fund(self, granted: int, credit: int) -> None:
        self.account = self.segment.add_account(NAME, granted, credit)
        self.granted, self.credit = granted, credit

    @property
    def held(self) -> int:
        return sum(nanos for _, nanos in self.open)

    @rule(worker=st.integers(0, WORKERS - 1), cost=st.integers(1, 300))
    def hold(self, worker: int, cost: int) -> None:
        room = self.granted + self.credit - self.captured
        if cost > room - self.held:
            assert _kernels.why(self.segment, self.account, cost) == (HELD if cost <= room else INSUFFICIENT)
        if self.segment.hold(worker, self.account, cost):
            assert cost <= room - self.held
            self.open.append((worker, cost))
        else:
            assert cost > room - self.held

    @precondition(lambda self: self.open)
    @rule(data=st.data(), extra=st.integers(1, 300))
    def extend(self, data: st.DataObject, extra: int) -> None:
        """A stream that goes on holds more, in the same call."""
        at = data.draw(st.integers(0, len(self.open) - 1))
        worker, nanos = self.open[at]
        fits = extra <= self.granted + self.credit - self.captured - self.held
        assert self.segment.hold(worker, self.account, extra) == fits
        if fits:
            self.open[at] = (worker, nanos + extra)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def capture(self, data: st.DataObject) -> None:
        worker, nanos = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        cost = data.draw(st.integers(0, nanos) | st.sampled_from([0, nanos]))
        self.segment.capture(worker, self.account, nanos, cost)
        self.captured += cost

    @rule(granted=st.integers(0, 300))
    def top_up(self, granted: int) -> None:
        self.granted += granted
        self.segment.grant(self.account, self.granted)

    @rule(worker=st.integers(0, WORKERS - 1))
    def die(self, worker: int) -> None:
        """What a dead worker held is free again; what it charged stays charged."""
        lost = sum(nanos for owner, nanos in self.open if owner == worker)
        assert self.segment.recover(worker)[0] == lost
        self.open = [(owner, nanos) for owner, nanos in self.open if owner != worker]
        assert self.segment.recover(worker) == (0, 0)

    @invariant()
    def the_books_balance(self) -> None:
        books = money(self.segment, self.account) if self.segment.account_count else None
        if books is None:
            return
        # I1: captured and held are never more than there is. I2: what is left, held and captured make up all of it.
        assert books["committed"] <= books["granted"] + books["credit"]
        assert books == {
            "granted": self.granted, "credit": self.credit, "committed": self.captured + self.held,
            "captured": self.captured, "held": self.held,
        }  # fmt: skip
        # I3: all that was ever reserved is held, captured or released, once.
        cells = [_kernels.cell(self.segment, worker, self.account) for worker in range(WORKERS)]
        for worker, (reserved, captured, released) in enumerate(cells):
            mine = sum(nanos for owner, nanos in self.open if owner == worker)
            assert reserved == captured + released + mine


Books.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestBooks = Books.TestCase


@pytest.mark.parametrize(("held", "cost"), [(5, 6), (5, -1)])
def test_a_capture_is_between_nothing_and_its_hold(segment: Segment, held: int, cost: int) -> None:
    segment.add_account(NAME, 10, 0)
    assert segment.hold(0, 0, held)
    with pytest.raises(ValueError, match="between 0 and its hold"):
        segment.capture(0, 0, held, cost)


@pytest.mark.parametrize("cost", [0, -1])
def test_a_hold_is_of_something(segment: Segment, cost: int) -> None:
    segment.add_account(NAME, 10, 0)
    with pytest.raises(ValueError, match="at least 1 nano"):
        segment.hold(0, 0, cost)


# A worker killed between two stores. Its account has another worker's hold of 30 and capture of 7 on it throughout.

Store = Callable[[Segment, int], None]
PRICE, PART = 40, 25


def hold_stores(cost: int, fits: bool) -> list[Store]:
    """The stores of `account_hold`, in order; the second gives back what another worker was quicker to take."""
    reserve: Store = lambda s, w: _kernels.reserved_add(s, w, 0, cost)  # noqa: E731
    if fits:
        return [reserve, lambda s, _: _kernels.committed_add(s, 0, cost)]
    return [reserve, lambda s, w: _kernels.released_add(s, w, 0, cost)]


def capture_stores(held: int, cost: int) -> list[Store]:
    """The stores of `account_capture`, in order."""
    stores: list[Store] = []
    if cost:
        stores.append(lambda s, w: _kernels.captured_add(s, w, 0, cost))
    if held != cost:
        stores.append(lambda s, _: _kernels.committed_add(s, 0, cost - held))
        stores.append(lambda s, w: _kernels.released_add(s, w, 0, held - cost))
    return stores


def state(segment: Segment) -> tuple[dict[str, int], tuple[int, int, int]]:
    return money(segment, 0), _kernels.cell(segment, 0, 0)


@pytest.mark.parametrize(("held", "cost"), [(PRICE, PRICE), (PRICE, PART), (PRICE, 0), (1, 1)])
def test_the_stores_played_back_here_are_those_of_the_kernels(new_segment: NewSegment, held: int, cost: int) -> None:
    ours, theirs = new_segment(), new_segment()
    for segment in (ours, theirs):
        segment.add_account(NAME, 100, 0)
        segment.worker_set(0, 1, 1)
    for store in hold_stores(held, True):
        store(ours, 0)
    assert theirs.hold(0, 0, held)
    assert state(ours) == state(theirs)
    for store in capture_stores(held, cost):
        store(ours, 0)
    theirs.capture(0, 0, held, cost)
    assert state(ours) == state(theirs)


CALLS = [
    hold_stores(PRICE, True) + capture_stores(PRICE, PRICE),
    hold_stores(PRICE, True) + capture_stores(PRICE, PART),
    hold_stores(PRICE, True) + capture_stores(PRICE, 0),
    hold_stores(PRICE, False),
]


@pytest.mark.parametrize(("first", "second", "killed_after"), list(product(range(4), range(4), range(11))))
def test_a_kill_after_any_store_of_two_calls_leaves_exact_books(
    new_segment: NewSegment, first: int, second: int, killed_after: int
) -> None:
    stores = CALLS[first] + CALLS[second]
    if killed_after > len(stores):
        return
    segment = new_segment()
    segment.add_account(NAME, 200, 0)
    assert segment.hold(1, 0, 30)
    assert segment.hold(1, 0, 10)
    segment.capture(1, 0, 10, 7)
    segment.worker_set(0, 1, 1)
    for store in stores[:killed_after]:
        store(segment, 0)
    charged = _kernels.cell(segment, 0, 0)[1]
    segment.recover(0)
    assert money(segment, 0) == {
        "granted": 200, "credit": 0, "committed": 30 + 7 + charged, "captured": 7 + charged, "held": 30,
    }  # fmt: skip
    reserved, captured, released = _kernels.cell(segment, 0, 0)
    assert reserved == captured + released
    before = state(segment)
    assert segment.recover(0) == (0, 0)
    assert state(segment) == before


@pytest.mark.parametrize("killed_after", range(6))
def test_a_supervisor_killed_while_it_recovers_can_start_again(segment: Segment, killed_after: int) -> None:
    """It takes a claim out of `committed` before it gives the claim up; between the two it is killed."""
    segment.add_account(NAME, 200, 0)
    segment.worker_set(0, 1, 1)
    stores = hold_stores(PRICE, True) + hold_stores(PRICE, True) + capture_stores(PRICE, PART)
    for store in stores[:killed_after]:
        store(segment, 0)
    charged = _kernels.cell(segment, 0, 0)[1]
    reserved, captured, released = _kernels.cell(segment, 0, 0)
    if _kernels.surplus(segment, 0) == 0:
        _kernels.committed_add(segment, 0, -(reserved - captured - released))
    segment.recover(0)
    assert segment.account(0)["committed"] == segment.account(0)["captured"] == charged


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=6))
def test_what_others_are_just_doing_never_makes_the_excess_larger_than_it_is(others: list[tuple[int, int]]) -> None:
    """Workers 1… stand between two stores while worker 0's death is cleared up: nothing of theirs is taken."""
    segment = scratch_segment()
    segment.add_account(NAME, 10_000, 0)
    for store in hold_stores(PRICE, True):
        store(segment, 0)
    parts = []
    for worker, (kind, stopped_at) in enumerate(others, 1):
        segment.worker_set(worker, 1, 1)
        for store in CALLS[kind][:stopped_at]:
            store(segment, worker)
        parts.append(CALLS[kind][stopped_at:])
    segment.worker_set(0, 1, 1)
    segment.recover(0)
    assert segment.account(0)["captured"] <= segment.account(0)["committed"]
    for worker, rest in enumerate(parts, 1):  # the others go on
        for store in rest:
            store(segment, worker)
    segment.recover(0)  # and nothing hides any more
    charged = sum(_kernels.cell(segment, worker, 0)[1] for worker in range(1, len(others) + 1))
    assert segment.account(0)["committed"] == segment.account(0)["captured"] == charged

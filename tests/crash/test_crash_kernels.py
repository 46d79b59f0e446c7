"""The compiled kernels do what the model does: the same operations end in the same words, and from wherever a kill
stops the model, the segment recovers to the same.
"""

import os
import random

import _money
import model
import model_keeper
import pytest
from kernel_build import scratch_segment
from model import CALLS, KEEPER, MONEY, PLACES, Call, World
from schedule import Run, Scenario
from test_crash_model import long_history

from fastgw._segment import RECORD_BYTES, Segment, account_digest

SEED = int(os.environ.get("FASTGW_SEED", "0"))
WORKERS = 3
COST, COST_SUM = 32, 120


def segment_of(world: World) -> Segment:
    """A new segment with the words of the model; the account is at 0, its quota's meter at 1."""
    segment = scratch_segment()
    for place in PLACES:
        segment.add_account(account_digest(str(place)), 0, 0)
        _money.put_account(segment, place, world.granted[place], world.committed[place])
        for row in range(KEEPER, world.workers):
            words = (world.reserved, world.captured, world.released)
            _money.put_cell(segment, row, place, *(word[row][place] for word in words))
    for worker, journal in world.journals.items():
        segment.worker_set(worker, 1, 2)
        _money.put_journal(segment, worker, journal.written, journal.cost_sum, journal.intent, journal.empties)
        if journal.slot:
            _money.put_open(segment, worker, [MONEY + 1, 0, (CALLS + 1) * journal.slot[CALLS]], journal.slot[MONEY])
        if journal.body is not None and journal.intent > journal.written:
            after = [journal.body.after[MONEY], -1, journal.body.after[CALLS], -1]
            places = [(MONEY + 1) * (after[0] >= 0), 0, (CALLS + 1) * (after[2] >= 0), 0]
            _money.put_body(segment, worker, places, after, journal.body.charges[MONEY], journal.body.cost_sum)
    return segment


def words_of(world: World) -> list[object]:
    """What must be the same in both; of what was ever claimed and given back, only the difference matters."""
    rows = range(KEEPER, world.workers)
    return [
        world.granted, world.committed,
        [(world.captured[row][place], world.claim(row, place)) for row in rows for place in PLACES],
        [(j.written, j.cost_sum) for j in world.journals.values()],
    ]  # fmt: skip


def words_in(segment: Segment, workers: int) -> list[object]:
    accounts = [segment.account(place) for place in PLACES]
    cells = [_money.cell(segment, row, place) for row in range(KEEPER, workers) for place in PLACES]
    return [
        [account["granted"] for account in accounts], [account["committed"] for account in accounts],
        [(captured, reserved - captured - released) for reserved, captured, released in cells],
        [_money.journal_words(segment, worker)[:2] for worker in range(workers)],
    ]  # fmt: skip


def stopped_anywhere(seed: int) -> Run:
    """A history in which everybody is killed after a random number of steps."""
    rng = random.Random(seed)
    run = Run(long_history(seed))
    for _ in range(rng.randrange(150)):
        steps = [choice for choice in run.choices() if not choice.kill]
        if not steps:
            break
        run.take(rng.choice(steps))
    for row in run.actors:
        run.world.killed(row)
    return run


def run_alone(steps: model.Steps) -> None:
    for _ in steps:
        pass


def test_the_segment_recovers_as_the_model_does_from_wherever_all_were_killed() -> None:
    undecided = finished = claimed = noted = 0
    for seed in range(SEED, SEED + 60):
        world = stopped_anywhere(seed).world
        segment = segment_of(world)
        assert words_in(segment, WORKERS) == words_of(world)
        claimed += sum(world.claim(row, place) > 0 for row in range(KEEPER, WORKERS) for place in PLACES)
        for worker, journal in world.journals.items():
            finished += journal.intent > journal.written
            undecided += world.claim(worker, MONEY) > 0 and journal.intent <= journal.written
            announced = journal.intent > journal.written
            marked = announced and journal.body is not None and max(journal.body.after) >= 0
            earned = bool(journal.slot) and not (announced and journal.empties)
            noted += earned
            run_alone(model.recover(world, worker))
            segment.recover(worker)
            assert words_in(segment, WORKERS) == words_of(world), f"seed {seed}, worker {worker}"
            assert _money.dirty(segment, worker, MONEY) == (marked or earned)
        for place in PLACES:
            world.captured[KEEPER][place] = world.ledger.taken[place]
            segment.take_recover(place, world.ledger.taken[place])
        run_alone(model.recover_claims(world, KEEPER))
        assert words_in(segment, WORKERS) == words_of(world), f"seed {seed}, keeper"
        world.check()
    assert undecided > 5
    assert noted > 5
    assert finished > 5
    assert claimed > 50


def record_at(records: bytes, number: int) -> tuple[int, int]:
    """Its cost, and the running sum."""
    at = number * RECORD_BYTES
    cost, cost_sum = (int.from_bytes(records[at + where : at + where + 8], "little") for where in (COST, COST_SUM))
    return cost, cost_sum


class Both:
    """The model and a segment, to which the same is done."""

    def __init__(self, granted: tuple[int, int]) -> None:
        self.world = World(granted, WORKERS)
        self.segment = segment_of(self.world)
        self.seen = [0, 0]
        self.open: list[tuple[int, Call, _money.Call]] = []
        self.taken: list[int] = []

    def hold(self, worker: int, held: tuple[int, int]) -> None:
        call = _money.Call([(MONEY, held[MONEY]) if held[MONEY] else None, None, (CALLS, held[CALLS])])
        short = [place for place in PLACES if self.world.committed[place] + held[place] > self.world.granted[place]]
        assert call.take(self.segment, worker) == ((0, 2)[short[0]] if short else -1)
        got: list[bool] = []
        run_alone(model.take(self.world, worker, held, got))
        assert got == [not short]
        if got[0]:
            self.open.append((worker, Call(held, (0, 0)), call))

    def extend(self, number: int, more: tuple[int, int]) -> None:
        at = number % len(self.open)
        worker, (held, *_), call = self.open[at]
        refused = call.extend(
            self.segment,
            worker,
            _money.Call([(MONEY, more[MONEY]) if more[MONEY] else None, None, (CALLS, more[CALLS])]),
        )
        got: list[bool] = []
        run_alone(model.take(self.world, worker, more, got))
        assert (refused == -1) == got[0]
        if got[0]:
            self.open[at] = worker, Call((held[MONEY] + more[MONEY], held[CALLS] + more[CALLS]), (0, 0)), call

    def settle(self, number: int, share: float) -> None:
        worker, (held, *_), call = self.open.pop(number % len(self.open))
        charges = (int(held[MONEY] * share), int(share > 0))
        run_alone(model.settle(self.world, worker, held, charges))
        call.settle(self.segment, worker, [charges[MONEY], 0, charges[CALLS]])

    def take(self, amount: int) -> None:
        got: list[bool] = []
        run_alone(model.hold(self.world, KEEPER, MONEY, amount, got))
        assert self.segment.take(MONEY, amount) == got[0]
        if got[0]:
            self.taken.append(amount)

    def take_settle(self, keep: bool) -> None:
        amount = self.taken.pop()
        self.world.held[KEEPER][MONEY] -= amount if keep else 0
        run_alone(model.capture(self.world, KEEPER, MONEY, amount, amount if keep else 0))
        self.segment.take_settle(MONEY, amount, keep)

    def top_up(self, amount: int) -> None:
        run_alone(model_keeper.top_up(self.world, amount))
        self.segment.grant(MONEY, self.world.granted[MONEY])

    def captures(self) -> None:
        before = list(self.seen)
        run_alone(model_keeper.captures(self.world, self.seen, False))
        changed = [(place, self.seen[place]) for place in PLACES if self.seen[place] != before[place]]
        assert self.segment.captures() == changed

    def records(self) -> None:
        for worker, journal in self.world.journals.items():
            read, _, lost = self.segment.journal(worker, 0)
            first = lost
            for number in range(len(read) // RECORD_BYTES):
                wanted = journal.records[first + number]
                assert record_at(read, number) == (wanted.charges[MONEY], wanted.cost_sum)
            if journal.records:
                after = [at for at in journal.records[-1].after if at >= 0]
                assert [at for at in _money.journal_after(self.segment, worker) if at >= 0] == after


@pytest.mark.parametrize("seed", range(SEED, SEED + 20))
def test_the_same_operations_end_in_the_same_words(seed: int) -> None:
    rng = random.Random(seed)
    both = Both((rng.randrange(20, 120), rng.randrange(5, 30)))
    for _ in range(200):
        match rng.randrange(9):
            case 0 | 1 | 2:
                both.hold(rng.randrange(WORKERS), (rng.randrange(20), 1))
            case 3 | 4 if both.open:
                both.settle(rng.randrange(100), rng.choice((0.0, 0.5, 1.0)))
            case 5 if both.taken:
                both.take_settle(rng.random() < 0.5)
            case 5:
                both.take(rng.randrange(1, 15))
            case 6:
                both.top_up(rng.randrange(12))
            case 7:
                both.captures()
            case 8 if both.open:
                both.extend(rng.randrange(100), (rng.randrange(9), rng.randrange(1, 3)))
        assert words_in(both.segment, WORKERS) == words_of(both.world)
    both.records()
    assert sum(journal.written for journal in both.world.journals.values()) > 5


def test_the_model_is_that_of_the_scenario() -> None:
    """What the comparison rests on: a stopped history has the words of the kernels' own steps."""
    run = Run(Scenario((20, 5), ((Call((7, 1), (4, 1)),),), kills=0))
    while run.at:
        run.take(run.choices()[0])
    segment = scratch_segment()
    for place, granted in enumerate((20, 5)):
        segment.add_account(account_digest(str(place)), granted, 0)
    segment.worker_set(0, 1, 2)
    call = _money.Call([(MONEY, 7), None, (CALLS, 1)])
    assert call.take(segment, 0) == -1
    call.prepare(segment, 0, [4, 0, 1])
    call.capture(segment, 0)
    call.publish(segment, 0)
    assert words_in(segment, 1) == words_of(run.world)

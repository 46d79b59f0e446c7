"""The accounting of the segment and the ledger as steps on shared words: what a worker, the keeper and a recovery do,
one store at a time, so that they can be interleaved and killed anywhere.

Every `yield` stands before exactly one access to a word that others see; what is between two of them happens at once.
Words with one writer are read freely by that writer. A scheduler (`schedule.py`) takes the steps. `World.check` holds
the invariants, with what only an outsider can know: which calls are in flight, and what has been decided about them.
A `mutation` breaks the order of two steps; the tests show that each is found.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

KEEPER = -1
MONEY, CALLS = 0, 1  # the account, and the meter of its quota
PLACES = (MONEY, CALLS)
Steps = Iterator[str]

MUTATIONS = {
    "captured before the intent": "a call that is charged and not recorded",
    "published before captured": "a call that is recorded and not charged",
    "committed before reserved": "a hold that recovery takes from somebody",
    "released before committed": "a claim given up while it is still held",
    "released before captured": "money that is free while it is charged",
    "dirty before captured": "a charge that the keeper never sees",
    "cleared after it is read": "a charge that the keeper never sees",
    "granted before the entry": "money that no ledger knows",
    "kept before the entry": "money taken that no ledger knows",
    "entry before the money is held": "more taken than there is",
    "recovery does not finish": "a decided call that is lost",
    "recovery marks nothing": "a charge that the keeper never sees",
    "claims are not compared": "the same money given back twice",
    "spent before it is held": "a call that grows beyond what there is",
    "noted before it is held": "a charge beyond what is held",
    "emptied before the intent": "a call that had come to cost something and is not charged",
    "emptied after it is published": "a call that is charged twice",
    "recovery leaves what is noted": "a call that had come to cost something and is not charged",
}


class Record(NamedTuple):
    """A journal record, as far as it is about money."""

    charges: tuple[int, ...]
    after: tuple[int, ...]  # by place; -1: nothing held
    cost_sum: int


@dataclass
class Journal:
    written: int = 0
    cost_sum: int = 0
    intent: int = 0
    records: list[Record] = field(default_factory=list)  # those published
    body: Record | None = None  # of the record that is not
    empties: bool = False  # the intent empties the slot
    slot: tuple[int, ...] = ()  # what the call in flight would be charged if it ended now; (): empty


@dataclass
class Ledger:
    """What is durable: by place, the sums of positive and of negative entries, and how far captures are known."""

    granted: list[int]
    taken: list[int]
    captured: list[int]


class World:
    """All shared words, and what an outsider knows of those who change them."""

    def __init__(self, granted: tuple[int, int], workers: int, mutation: str = "", coarse: bool = False) -> None:
        assert not mutation or mutation in MUTATIONS
        rows = range(KEEPER, workers)
        self.mutation = mutation
        self.coarse = coarse  # who sums up cells reads each at once: fewer histories
        self.workers = workers
        self.granted = list(granted)
        self.committed = [0, 0]
        self.reserved = {row: [0, 0] for row in rows}
        self.captured = {row: [0, 0] for row in rows}
        self.released = {row: [0, 0] for row in rows}
        self.dirty = dict.fromkeys(range(workers), False)
        self.journals = {worker: Journal() for worker in range(workers)}
        self.ledger = Ledger(list(granted), [0, 0], [0, 0])
        # What nobody in the world can see: what each row holds of right, what it does just now, what was decided.
        self.held = {row: [0, 0] for row in rows}
        self.busy = dict.fromkeys(rows, False)  # between two stores of a hold or a capture
        self.decided: dict[int, list[tuple[int, ...]]] = {worker: [] for worker in range(workers)}
        self.due = dict.fromkeys(range(workers), 0)  # what the call in flight must not be charged less than

    def claim(self, row: int, place: int) -> int:
        return self.reserved[row][place] - self.released[row][place] - self.captured[row][place]

    def missing(self, place: int) -> int:
        """What all rows claim or have charged and is not committed, at this instant."""
        return (
            sum(self.reserved[row][place] - self.released[row][place] for row in self.reserved) - self.committed[place]
        )

    def all_captured(self, place: int) -> int:
        return sum(self.captured[worker][place] for worker in range(self.workers))

    def key(self) -> tuple[object, ...]:
        """Equal for worlds from which the same can follow."""
        return (
            *self.granted, *self.committed, *self.dirty.values(), *self.busy.values(),
            *(value for words in (self.reserved, self.captured, self.released, self.held)
              for row in words.values() for value in row),
            *((j.written, j.cost_sum, j.intent, tuple(j.records), j.body, j.empties, j.slot)
              for j in self.journals.values()),
            *self.due.values(),
            *self.ledger.granted, *self.ledger.taken, *self.ledger.captured,
            *(tuple(calls) for calls in self.decided.values()),
        )  # fmt: skip

    def check(self) -> None:
        """The invariants that hold at every instant."""
        for place in PLACES:
            captured = self.all_captured(place)
            taken = self.ledger.taken[place]
            held = sum(row[place] for row in self.held.values())
            # I1, as admission sees it, as it really is, and as the ledger will know it.
            assert self.committed[place] <= self.granted[place], "more is committed than granted"
            assert captured + taken + held <= self.committed[place], "what is held or charged is not committed"
            assert self.granted[place] <= self.ledger.granted[place], "more is granted than the ledger knows"
            assert self.captured[KEEPER][place] <= taken, "more was taken than the ledger knows"
            assert self.ledger.captured[place] <= captured, "the ledger knows of charges that were not made"
        for worker, journal in self.journals.items():
            charged = [record.charges for record in journal.records]
            assert charged == self.decided[worker][: len(charged)], "a record is of no call"
            for place in PLACES:
                assert self.claim(worker, place) >= self.held[worker][place], "what is held is not claimed"

    def check_end(self) -> None:
        """What holds when everybody is done: I2 and I3 to the nano, the journals and the ledger agree."""
        self.check()
        for place in PLACES:
            assert self.committed[place] == self.all_captured(place) + self.captured[KEEPER][place], (
                "a hold is left open"
            )
            assert self.ledger.captured[place] == self.all_captured(place), "the ledger missed a charge"
            assert self.ledger.taken[place] == self.captured[KEEPER][place]
        for worker, journal in self.journals.items():
            calls = self.decided[worker]
            assert [record.charges for record in journal.records] == calls, "a call is not recorded"
            assert len(journal.records) == journal.written
            for place in PLACES:
                assert self.captured[worker][place] == sum(call[place] for call in calls), "charges are not the calls'"
                assert self.claim(worker, place) == 0
            assert journal.cost_sum == self.captured[worker][MONEY]
            assert not self.due[worker], "what was noted is not charged"

    def killed(self, row: int) -> None:
        """What the dead held is free by right, but for what it had decided to charge, or had noted."""
        self.busy[row] = False
        for place in PLACES:
            self.held[row][place] = 0
            if row == KEEPER:
                continue
            journal = self.journals[row]
            decided = journal.intent == journal.written + 1
            if decided:
                assert journal.body is not None
                if journal.body.after[place] >= 0:
                    self.held[row][place] = journal.body.after[place] - self.captured[row][place]
            if journal.slot and not (decided and journal.empties):
                self.held[row][place] += journal.slot[place]


# A worker's calls


def hold(w: World, row: int, place: int, amount: int, got: list[bool]) -> Steps:
    """`account_hold`; appends to `got` whether there was room."""
    yield "load committed"
    committed = w.committed[place]
    yield "load granted"
    if committed + amount > w.granted[place]:
        got.append(False)
        return
    late = w.mutation == "committed before reserved"
    w.busy[row] = True
    if not late:
        yield "store reserved"
        w.reserved[row][place] += amount
    while True:
        yield "swap committed"
        if w.committed[place] == committed:
            w.committed[place] += amount
            if late:
                yield "store reserved"
                w.reserved[row][place] += amount
            w.held[row][place] += amount
            w.busy[row] = False
            got.append(True)
            return
        committed = w.committed[place]
        yield "load granted"
        if committed + amount > w.granted[place]:
            if not late:
                yield "store released"
                w.released[row][place] += amount
            w.busy[row] = False
            got.append(False)
            return


def capture(w: World, row: int, place: int, held: int, charge: int) -> Steps:
    """`account_capture`."""
    w.busy[row] = True
    if w.mutation == "released before captured" and held != charge:
        yield "store released"
        w.released[row][place] += held
    if charge:
        if w.mutation == "dirty before captured" and row != KEEPER:
            yield "store dirty"
            w.dirty[row] = True
        yield "store captured"
        w.captured[row][place] += charge
        w.held[row][place] -= charge if row != KEEPER else 0
        if w.mutation != "dirty before captured" and row != KEEPER:
            yield "store dirty"
            w.dirty[row] = True
    if held != charge:
        if w.mutation == "released before committed":
            yield "store released"
            w.released[row][place] += held - charge
        yield "add committed"
        w.committed[place] -= held - charge
        w.held[row][place] -= held - charge
        if w.mutation not in ("released before committed", "released before captured"):
            yield "store released"
            w.released[row][place] += held - charge
        elif w.mutation == "released before captured":
            w.released[row][place] -= charge
    w.busy[row] = False


def settle(w: World, row: int, held: tuple[int, ...], charges: tuple[int, ...]) -> Steps:
    """`journal_settle`."""
    journal = w.journals[row]
    after = tuple(w.captured[row][place] + charges[place] if held[place] else -1 for place in PLACES)
    if w.mutation == "captured before the intent":
        yield from _captures(w, row, held, charges)
    if w.mutation == "emptied before the intent":
        yield from _empty(w, row)
    yield "write the body"
    journal.body = Record(charges, after, journal.cost_sum + charges[MONEY])
    journal.empties = bool(journal.slot) and not w.mutation.startswith("emptied")
    yield "store intent"
    journal.intent = journal.written + 1
    w.decided[row].append(charges)
    w.due[row] = 0
    if w.mutation == "published before captured":
        yield from _publish(w, row)
    if w.mutation != "captured before the intent":
        yield from _captures(w, row, held, charges)
    if journal.empties:
        yield from _empty(w, row)
    if w.mutation != "published before captured":
        yield from _publish(w, row)
    if w.mutation == "emptied after it is published":
        yield from _empty(w, row)


def _empty(w: World, row: int) -> Steps:
    if w.journals[row].slot:
        yield "empty the slot"
        w.journals[row].slot = ()


def earn(w: World, row: int, held: tuple[int, ...], nanos: int) -> Steps:
    """`open_earn`: only the cost is of consequence, and the last that is written."""
    yield "store what it has come to cost"
    w.journals[row].slot = (nanos, min(held[CALLS], 1))
    w.due[row] = nanos


def _captures(w: World, row: int, held: tuple[int, ...], charges: tuple[int, ...]) -> Steps:
    for place in PLACES:
        if held[place]:
            yield from capture(w, row, place, held[place], charges[place])


def _publish(w: World, row: int) -> Steps:
    journal = w.journals[row]
    assert journal.body is not None
    yield "store the number and the sum"
    journal.cost_sum = journal.body.cost_sum
    yield "store written"
    journal.records.append(journal.body)
    journal.written += 1


class Call(NamedTuple):
    """What a call holds of the account and of the quota, and what it is charged in the end.

    `more` is by what it grows, step by step; each that there is room for adds as much to its charges. `earns` is what
    is noted that it has come to cost: at first, and at each of those steps.
    """

    held: tuple[int, int]
    charges: tuple[int, int]
    more: tuple[tuple[int, int], ...] = ()
    earns: tuple[int, ...] = ()


def take(w: World, row: int, held: tuple[int, ...], got: list[bool]) -> Steps:
    """`holds_take`: all or nothing; appends to `got` which."""
    open_places: tuple[int, ...] = ()
    for place in PLACES:
        one: list[bool] = []
        if held[place]:
            yield from hold(w, row, place, held[place], one)
            if not one[0]:
                break
            open_places += (place,)
    else:
        got.append(True)
        return
    for place in open_places:
        yield from capture(w, row, place, held[place], 0)
    got.append(False)


def worker(w: World, row: int, calls: tuple[Call, ...]) -> Steps:
    """One call after the other: hold all or nothing, grow as far as there is room, settle. A call that there is no room
    for is refused."""
    for _number, call in enumerate(calls):
        held, charges = call.held, call.charges
        got: list[bool] = []
        yield from take(w, row, held, got)
        if not got[0]:
            continue
        earns = [*call.earns]
        if earns and earns[0]:
            yield from earn(w, row, held, earns[0])
        for step, more in enumerate(call.more, 1):
            grown: list[bool] = []
            if w.mutation == "noted before it is held" and earns:
                yield from earn(w, row, (held[MONEY] + more[MONEY], held[CALLS]), earns[step])
            yield from take(w, row, more, grown)
            if not grown[0] and w.mutation != "spent before it is held":
                break
            held = (held[MONEY] + more[MONEY], held[CALLS] + more[CALLS])
            charges = (charges[MONEY] + more[MONEY], charges[CALLS] + more[CALLS])
            if earns:
                yield from earn(w, row, held, earns[step])
        yield from settle(w, row, held, charges)


# What is done when somebody has been killed


def surplus(w: World, place: int, found: list[int]) -> Steps:
    """`account_surplus`; appends nothing to `found` when somebody was at it."""
    first = second = claimed = 0
    for row in range(KEEPER, w.workers):
        yield "load reserved"
        first += w.reserved[row][place]
        if not w.coarse:
            yield "load released"
        first += w.released[row][place]
    yield "load committed"
    committed = w.committed[place]
    for row in range(KEEPER, w.workers):
        yield "load reserved"
        reserved = w.reserved[row][place]
        if not w.coarse:
            yield "load released"
        released = w.released[row][place]
        second += reserved + released
        claimed += reserved - released
    if first == second:
        found.append(committed - claimed)


def take_claim(w: World, row: int, place: int) -> Steps:
    """`Segment._take_claim`, one try."""
    found: list[int] = []
    yield from surplus(w, place, found)
    if not found or (found[0] < 0 and w.mutation != "claims are not compared"):
        return
    claim = w.claim(row, place)
    w.busy[row] = True
    yield "add committed"
    w.committed[place] -= claim
    yield "store released"
    w.released[row][place] += claim
    w.busy[row] = False


def recover_claims(w: World, row: int) -> Steps:
    """`Segment._recover_claims`."""
    for place in PLACES:
        if w.claim(row, place):
            yield from take_claim(w, row, place)
    for place in PLACES:
        yield from take_or_shrink(w, row, place)
    for place in PLACES:
        yield from take_excess(w, row, place)


def take_or_shrink(w: World, row: int, place: int) -> Steps:
    """After a while in which nobody stood between two stores all the time, so that what is missing then is what the
    dead had not come to put there, or had taken out."""
    while w.claim(row, place):
        yield "wait"
        missing = w.missing(place)
        if missing > 0:
            yield "store released"
            w.released[row][place] += min(w.claim(row, place), missing)
        if w.claim(row, place):
            yield from take_claim(w, row, place)


def take_excess(w: World, row: int, place: int) -> Steps:
    """`Segment._take_excess`, as often as it is done: of two who claim the same, the keeper gives way."""
    yield "wait"
    excess = -w.missing(place)
    if excess <= 0:
        return
    yield "store reserved"
    w.reserved[row][place] += excess
    w.busy[row] = row == KEEPER
    yield "wait"
    while w.missing(place) > 0 and row != KEEPER:
        yield "wait"
    if w.missing(place) <= 0:
        yield "add committed"
        w.busy[row] = True
        w.committed[place] -= excess
    yield "store released"
    w.released[row][place] += excess
    w.busy[row] = False


def recover(w: World, row: int) -> Steps:
    """`Segment.recover`."""
    journal = w.journals[row]
    if journal.intent == journal.written + 1 and w.mutation != "recovery does not finish":
        assert journal.body is not None
        for place in PLACES:
            if journal.body.after[place] >= 0:
                yield "store captured"
                w.held[row][place] -= journal.body.after[place] - w.captured[row][place]
                w.captured[row][place] = journal.body.after[place]
                if w.mutation != "recovery marks nothing":
                    yield "store dirty"
                    w.dirty[row] = True
        if journal.empties:
            yield from _empty(w, row)
        yield from _publish(w, row)
    if journal.slot and w.mutation != "recovery leaves what is noted":
        yield from settle(w, row, journal.slot, journal.slot)
    yield from recover_claims(w, row)

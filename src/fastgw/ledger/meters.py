"""Decides what a quota or a budget has left: what was counted in its calendar window, and when a new one begins.

A meter is an account record of the segment with `granted` = base + limit, where base is what had been counted when the
window began. A new window is a new base: durable first, then granted.
"""

from array import array
from dataclasses import dataclass, field
from itertools import islice

from .._segment import Segment, account_digest
from ..states import AccountStatus
from .roster import NAMES, Kind, Roster
from .store import Store
from .views import MeterView
from .windows import window
from .writer import Turn

BATCH = 500  # meters of one turn that get a new window
SAVE = (
    "INSERT INTO meter (kind, owner, captured, base, ends) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
    " SET captured = excluded.captured, base = excluded.base, ends = excluded.ends"
)
BASE = "SELECT base, captured, ends FROM meter WHERE kind = ? AND owner = ?"


@dataclass
class Window:
    """One period in one time zone, and the meters (indexes) that have counted something in it; period "" never ends."""

    period: str
    zone: str
    ends_s: int = 0
    active: set[int] = field(default_factory=set)


class Meters:
    """All quotas and budgets; the chore that gives them new windows."""

    def __init__(self, segment: Segment, roster: Roster) -> None:
        self.segment, self.roster = segment, roster
        self.limits = array("q")
        self.bases = array("q")
        self.window_of = array("I")  # by index: position in `windows`
        self.windows = [Window("", "")]
        self.numbers = {("", ""): 0}
        self.rolling: dict[int, int] = {}  # by index: end of the window that is over
        self.known: dict[tuple[str, int], tuple[int, int, int]] | None = None  # rows, while all are claimed at start

    def restore(self, store: Store) -> None:
        """Read what has been used, for the claims until `settled`."""
        rows = store.rows("SELECT kind, owner, base, captured, ends FROM meter")
        self.known = {(kind, owner): (base, captured, ends) for kind, owner, base, captured, ends in rows}

    def settled(self) -> None:
        """All are claimed: further ones are looked up one by one."""
        self.known = None

    def claim(self, store: Store, kind: Kind, owner: int, name: str, now_s: int) -> int:
        """The index of the meter called `name`, with what it has used so far. Raises SegmentError: no room."""
        index = self.roster.claim(account_digest(name))
        self.roster.enroll(index, kind, owner)
        missing = index + 1 - len(self.limits)
        if missing > 0:
            for column in (self.limits, self.bases, self.window_of):
                column.extend([0] * missing)
        if self.known is not None:
            row = self.known.get((NAMES[kind], owner))
        else:
            found = store.row(BASE, (NAMES[kind], owner))
            row = None if found is None else (found[0], found[1], found[2])
        self.bases[index] = 0
        if row is not None:
            base, captured, ends = row
            self.bases[index] = captured if 0 < ends <= now_s else base
        return index

    def tell(self, index: int, limit: int, period: str, zone: str, now_s: int) -> None:
        """This is its limit in every window of `period` from now on; what is used in the present one stays used."""
        number = self._number(period, zone if period else "", now_s)
        before = self.windows[self.window_of[index]]
        if self.windows[number] is not before:
            before.active.discard(index)
            self.window_of[index] = number
        self.limits[index] = limit
        self.segment.set_granted(index, self.bases[index] + limit)
        self._show_end(index)
        if period and self.segment.account(index)["captured"] > self.bases[index]:
            self.windows[number].active.add(index)

    def _number(self, period: str, zone: str, now_s: int) -> int:
        number = self.numbers.get((period, zone))
        if number is None:
            number = self.numbers[period, zone] = len(self.windows)
            self.windows.append(Window(period, zone, window(period, zone, now_s)[1]))
        return number

    # Counting

    def fold(self, turn: Turn, changed: list[tuple[int, int]]) -> None:
        """Write what has been counted, by index, in all since the segment was made."""
        self._turn_over(turn.now_s)
        rows = []
        for index, captured in changed:
            now = self.windows[self.window_of[index]]
            ends_s = self.rolling.get(index, now.ends_s)
            rows.append((*self._row(index), captured, self.bases[index], ends_s))
            if now.period and index not in now.active:
                now.active.add(index)
                self._show_end(index)
        turn.store.executemany(SAVE, rows)

    def _row(self, index: int) -> tuple[str, int]:
        return NAMES[Kind(self.roster.kinds[index])], self.roster.owners[index]

    def _turn_over(self, now_s: int) -> None:
        """Note which windows are over."""
        for each in self.windows:
            if each.period and now_s >= each.ends_s:
                for index in each.active:
                    self.rolling.setdefault(index, each.ends_s)
                each.active = set()
                each.ends_s = window(each.period, each.zone, now_s)[1]

    def due(self, now_ns: int) -> bool:
        now_s = now_ns // 1_000_000_000
        return bool(self.rolling) or any(each.active and now_s >= each.ends_s for each in self.windows if each.period)

    def run(self, turn: Turn) -> None:
        """Begin the new window of a batch."""
        self._turn_over(turn.now_s)
        batch = []
        rows = []
        for index in islice(self.rolling, BATCH):
            captured = self.segment.account(index)["captured"]
            batch.append((index, captured))
            rows.append((*self._row(index), captured, captured, self.windows[self.window_of[index]].ends_s))
        turn.store.executemany(SAVE, rows)

        def grant() -> None:
            for index, captured in batch:
                del self.rolling[index]
                self.bases[index] = captured
                self.segment.set_granted(index, captured + self.limits[index])
                self._show_end(index)

        turn.then(grant)

    def _show_end(self, index: int) -> None:
        """Let refusals say when the meter's window ends."""
        ends_s = self.windows[self.window_of[index]].ends_s
        self.segment.set_terms(index, credit=0, status=AccountStatus.ACTIVE, plan=0, expires_s=ends_s, day=-1, month=-1)

    # Looking

    def period(self, index: int) -> str:
        """ "day", "month", or "" for a meter whose window never ends."""
        return self.windows[self.window_of[index]].period

    def view(self, index: int, now_s: int) -> MeterView:
        money = self.segment.account(index)
        period = self.windows[self.window_of[index]]
        return MeterView(
            kind=NAMES[Kind(self.roster.kinds[index])],
            limit=self.limits[index],
            used=money["captured"] - self.bases[index],
            held=money["committed"] - money["captured"],
            resets_s=window(period.period, period.zone, now_s)[1] if period.period else 0,
        )

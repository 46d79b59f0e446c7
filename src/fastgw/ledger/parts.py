"""Decides what the ledger is put together from, and in which order its chores are done."""

import time
from collections.abc import Callable

from .._segment import Segment
from .accounts import Accounts
from .allowances import Allowances
from .credits import Credits
from .entries import Entries
from .expiry import Expiry
from .key_table import KeyTable
from .meters import Meters
from .plans import Plans
from .positions import Positions
from .roster import Roster
from .store import Store
from .tags import Tags
from .writer import Writer


class Parts:
    """Every part, each knowing those that it needs. `clock` gives Unix time in nanoseconds; `at` see `Writer`."""

    def __init__(
        self,
        segment: Segment,
        store: Store,
        clock: Callable[[], int] = time.time_ns,
        at: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.segment, self.store, self.clock, self.at = segment, store, clock, at
        self.roster = Roster(segment)
        self.plans = Plans(segment)
        self.meters = Meters(segment, self.roster)
        self.entries = Entries(segment, self.roster, Credits())
        self.positions = Positions(self.roster, self.entries, self.meters)
        self.accounts = Accounts(segment, self.roster, self.plans, self.meters)
        self.keys = KeyTable(segment, self.roster, self.plans, self.meters)
        self.tags = Tags(segment, self.roster, self.plans, self.meters, self.keys)
        self.allowances = Allowances(self.plans, self.entries)
        self.writer = Writer(store, segment, self.positions.fold, clock, at)
        # What expires is taken before the next allowance is given.
        self.writer.chores = [self.meters, Expiry(self.entries), self.allowances, self.positions]

    @property
    def now_s(self) -> int:
        return self.clock() // 1_000_000_000

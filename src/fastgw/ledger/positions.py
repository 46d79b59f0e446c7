"""Decides how far the ledger knows what workers captured, and when that becomes an entry: a minute later at most."""

from itertools import islice

from .entries import Entries
from .meters import Meters
from .roster import Kind, Roster
from .store import Store
from .writer import Turn

ENTER_NS = 60_000_000_000
BATCH = 500  # accounts of one turn
CAPTURED = (
    "INSERT INTO position (account, captured, entered, taken) VALUES (?, ?, 0, 0)"
    " ON CONFLICT DO UPDATE SET captured = excluded.captured"
)


class Positions:
    """Folds captures into every turn, and is the chore that enters them."""

    def __init__(self, roster: Roster, entries: Entries, meters: Meters) -> None:
        self.roster, self.entries, self.meters = roster, entries, meters
        self.pending: set[int] = set()  # accounts with captures that may not be entered
        self.entering: set[int] = set()  # those of the minute that is over
        self.next_ns = 0

    def restore(self, store: Store) -> None:
        """Find what an earlier keeper left to be entered."""
        self.pending = {row[0] for row in store.rows("SELECT account FROM position WHERE captured > entered")}

    def fold(self, turn: Turn, changed: list[tuple[int, int]]) -> None:
        """Write what workers have captured, by index in the segment, in all since the segment was made."""
        accounts = []
        meters = []
        for index, captured in changed:
            kind = self.roster.kind(index)
            if kind == Kind.ACCOUNT:
                accounts.append((self.roster.owners[index], captured))
            elif kind != Kind.UNKNOWN:
                meters.append((index, captured))
        if accounts:
            turn.store.executemany(CAPTURED, accounts)
            self.pending.update(account for account, _ in accounts)
        if meters:
            self.meters.fold(turn, meters)

    def due(self, now_ns: int) -> bool:
        return bool(self.entering) or (bool(self.pending) and now_ns >= self.next_ns)

    def run(self, turn: Turn) -> None:
        """Enter a batch."""
        if not self.entering:
            self.entering, self.pending = self.pending, set()
            self.next_ns = turn.now_ns + ENTER_NS
        batch = list(islice(self.entering, BATCH))
        for account in batch:
            self.entries.enter(turn, account)
        turn.then(lambda: self.entering.difference_update(batch))

    def enter_all(self, turn: Turn) -> None:
        """Enter everything now."""
        everything = self.entering | self.pending
        for account in everything:
            self.entries.enter(turn, account)

        def forget() -> None:
            self.entering -= everything
            self.pending -= everything

        turn.then(forget)

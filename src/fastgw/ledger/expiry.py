"""Decides when credit expires and what is taken then: what is left of it, as soon as no call in flight holds it."""

from .entries import Entries
from .writer import Turn

BATCH = 200
DUE = "SELECT entry, account FROM lot WHERE unspent > 0 AND expires <= ? ORDER BY expires LIMIT ? OFFSET ?"
NEXT = "SELECT min(expires) FROM lot WHERE unspent > 0"
UNSPENT = "SELECT unspent FROM lot WHERE entry = ?"
AGAIN_S = 1
NEVER_S = 1 << 62


class Expiry:
    """The chore that takes expired credit."""

    def __init__(self, entries: Entries) -> None:
        self.entries = entries
        self.credits = entries.credits
        self.stuck = 0  # lots that calls in flight hold; they come first in order and are passed over in this sweep

    def due(self, now_ns: int) -> bool:
        return self.credits.next_s * 1_000_000_000 <= now_ns

    def run(self, turn: Turn) -> None:
        """Expire a batch of lots, the oldest first."""
        turn.then(None, self._forget)
        lots = turn.store.rows(DUE, (turn.now_s, BATCH, self.stuck))
        for entry, account in lots:
            if not self._expire(turn, entry, account):
                self.stuck += 1
        if len(lots) == BATCH:
            return
        following = turn.store.one(NEXT)[0]
        if following is None:
            following = NEVER_S
        elif self.stuck:
            following = turn.now_s + AGAIN_S
        self.stuck = 0
        self.credits.next_s = following

    def _forget(self) -> None:
        self.credits.next_s = self.stuck = 0

    def _expire(self, turn: Turn, entry: int, account: int) -> bool:
        """Take what is left of one lot; whether nothing is left of it."""
        self.entries.enter(turn, account)
        unspent = turn.store.one(UNSPENT, (entry,))[0]
        amount = min(unspent, self.entries.available(turn, account))
        if amount and self.entries.take(turn, account, amount):
            self.entries.expire(turn, account, entry, amount)
            unspent -= amount
        return not unspent

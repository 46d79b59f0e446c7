"""Decides when an account is given its plan's allowance: once a month, at its start or when the plan is taken."""

from .entries import Entries
from .plans import Plans
from .windows import window
from .writer import Turn

BATCH = 200
NEVER_S = 1 << 62
DUE = (
    "SELECT id FROM account WHERE plan = ? AND plan <> '' AND allowed <= ? AND status <> 'closed'"
    " AND (expires = 0 OR expires > ?) LIMIT ?"
)
GIVEN = "UPDATE account SET allowed = ? WHERE id = ?"


class Allowances:
    """The chore that gives allowances. One that was given lasts to its month's end, whatever the plan is by then."""

    def __init__(self, plans: Plans, entries: Entries) -> None:
        self.plans, self.entries = plans, entries
        self.next_s = 0  # nobody is to be given one before

    def look(self) -> None:
        """Plans or accounts have changed: look again."""
        self.next_s = 0

    def due(self, now_ns: int) -> bool:
        return self.next_s * 1_000_000_000 <= now_ns

    def run(self, turn: Turn) -> None:
        """Give a batch of allowances."""
        left = BATCH
        following = NEVER_S
        turn.then(None, self.look)
        for plan in self.plans.by_name.values():
            if not plan.allowance_nanos:
                continue
            ends_s = window("month", plan.timezone, turn.now_s)[1]
            following = min(following, ends_s)
            rows = turn.store.rows(DUE, (plan.name, turn.now_s, turn.now_s, left))
            for (account,) in rows:
                self.entries.credit(turn, account, "allowance", plan.allowance_nanos, expires_s=ends_s)
                turn.store.execute(GIVEN, (ends_s, account))
            left -= len(rows)
            if not left:
                return
        self.next_s = following

"""Decides how entries come about: appended once, never changed, each debit taken from credit that expires first."""

from collections.abc import Iterable

from .._segment import Segment
from .credits import Credits
from .roster import Roster
from .store import Store
from .writer import Turn

APPEND = "INSERT INTO entry (account, kind, amount, at, reference, note, expires) VALUES (?, ?, ?, ?, ?, ?, ?)"
PENDING = "SELECT captured - entered FROM position WHERE account = ? AND captured > entered"
ENTERED = "UPDATE position SET entered = captured WHERE account = ?"
TAKEN = (
    "INSERT INTO position (account, captured, entered, taken) VALUES (?, 0, 0, ?)"
    " ON CONFLICT DO UPDATE SET taken = taken + excluded.taken"
)
GRANTED = (
    "SELECT a.balance + ifnull(p.entered, 0) + ifnull(p.taken, 0)"
    " FROM account a LEFT JOIN position p ON p.account = a.id WHERE a.id = ?"
)


class Entries:
    """Appends to the ledger, and moves the segment with it. `account` is the account's number in the ledger."""

    def __init__(self, segment: Segment, roster: Roster, credits: Credits) -> None:
        self.segment, self.roster, self.credits = segment, roster, credits
        self.last = 0  # the newest entry's number

    def restore(self, store: Store) -> None:
        """Learn which entry is the newest."""
        self.last = store.one("SELECT ifnull(max(id), 0) FROM entry")[0]

    def append(self, turn: Turn, rows: Iterable[tuple[int, str, int, str, str, int]]) -> int:
        """Write rows of (account, kind, amount with its sign, reference, note, expires_s); the last one's number."""
        values = [(number, kind, nanos, turn.now_ns, *rest) for number, kind, nanos, *rest in rows]
        turn.store.executemany(APPEND, values)
        self.last = turn.store.last_id
        return self.last

    def enter(self, turn: Turn, account: int) -> None:
        """Append what is captured and not entered yet, as one entry."""
        pending = turn.store.row(PENDING, (account,))
        if pending is None:
            return
        self.debit(turn, account, "capture", pending[0])
        turn.store.execute(ENTERED, (account,))

    def credit(
        self,
        turn: Turn,
        account: int,
        kind: str,
        amount: int,
        *,
        expires_s: int = 0,
        reference: str = "",
        note: str = "",
    ) -> int:
        """Append `amount` > 0 nanos; the entry's number. Workers may spend it once it is durable."""
        self.enter(turn, account)
        number = self.append(turn, [(account, kind, amount, reference, note, expires_s)])
        if expires_s:
            self.credits.open(turn, number, account, amount, 0 if kind == "allowance" else 1, expires_s)
        self.tell(turn, account)
        return number

    def debit(self, turn: Turn, account: int, kind: str, amount: int, *, reference: str = "", note: str = "") -> int:
        """Append minus `amount`, of nanos > 0 that are captured or taken already; the entry's number."""
        number = self.append(turn, [(account, kind, -amount, reference, note, 0)])
        self.credits.spend(turn, account, amount)
        return number

    def retract(self, turn: Turn, account: int, amount: int) -> None:
        """Append minus `amount`, taken already, of what the file had granted: what never expires goes first."""
        self.append(turn, [(account, "opening", -amount, "", "", 0)])
        self.credits.clip(turn, account)

    def expire(self, turn: Turn, account: int, lot: int, amount: int) -> None:
        """Append what of a lot, the entry of that number, has expired and is taken already."""
        self.append(turn, [(account, "expiry", -amount, f"entry {lot}", "", 0)])
        self.credits.reduce(turn, lot, amount)

    def take(self, turn: Turn, account: int, amount: int) -> bool:
        """Take `amount` > 0 nanos out of what may be spent, if they are there, for a debit of this turn."""
        index = self.roster.index(account)
        if index < 0:  # closed before this segment was made: nobody else spends from it
            return bool(turn.store.one("SELECT balance >= ? FROM account WHERE id = ?", (amount, account))[0])
        if not self.segment.take(index, amount):
            return False
        turn.then(
            lambda: self.segment.take_settle(index, amount, True),
            lambda: self.segment.take_settle(index, amount, False),
        )
        turn.store.execute(TAKEN, (account, amount))
        return True

    def available(self, turn: Turn, account: int) -> int:
        """What can be taken now: nanos of balance and credit line that no call holds."""
        index = self.roster.index(account)
        if index < 0:
            return max(0, int(turn.store.one("SELECT balance FROM account WHERE id = ?", (account,))[0]))
        money = self.segment.account(index)
        return max(0, money["granted"] + money["credit"] - money["committed"])

    def tell(self, turn: Turn, account: int) -> None:
        """Grant in the segment what the entries so far give, once they are durable."""
        index = self.roster.index(account)
        if index >= 0:
            granted = turn.store.one(GRANTED, (account,))[0]
            turn.then(lambda: self.segment.grant(index, granted))

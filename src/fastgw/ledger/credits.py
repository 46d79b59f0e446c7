"""Decides which credit is spent first: allowances, then what expires first, then what never does."""

from .writer import Turn

OPEN = (
    "INSERT INTO lot (entry, account, rank, expires, unspent)"
    " SELECT ?, id, ?, ?, min(?, max(0, balance)) FROM account WHERE id = ?"
)
OF_ACCOUNT = "SELECT entry, unspent FROM lot WHERE account = ? AND unspent > 0 ORDER BY rank, expires, entry"
EXCESS = (
    "SELECT ifnull(sum(l.unspent), 0) - max(0, a.balance) FROM account a LEFT JOIN lot l ON l.account = a.id"
    " AND l.unspent > 0 WHERE a.id = ?"
)
SPEND = "UPDATE lot SET unspent = unspent - ? WHERE entry = ?"


class Credits:
    """Lots: what is left of each credit that expires. What never expires is the rest of the balance.

    A lot is reduced by every debit entry at the time it is appended; captures are entered before a lot is opened or
    expires, so none is charged to a lot that was not there.
    """

    def __init__(self) -> None:
        self.next_s = 0  # no lot expires before

    def open(self, turn: Turn, entry: int, account: int, amount: int, rank: int, expires_s: int) -> None:
        """Begin a lot for an entry just appended. What the account owed is paid from it at once."""
        turn.store.execute(OPEN, (entry, rank, expires_s, amount, account))
        self.next_s = min(self.next_s, expires_s)

    def spend(self, turn: Turn, account: int, amount: int) -> None:
        """Reduce the account's lots by a debit."""
        for entry, unspent in turn.store.rows(OF_ACCOUNT, (account,)):
            part = min(amount, unspent)
            self.reduce(turn, entry, part)
            amount -= part
            if not amount:
                return

    def clip(self, turn: Turn, account: int) -> None:
        """Reduce the account's lots to its balance, where a debit left less than they hold."""
        excess = turn.store.one(EXCESS, (account,))[0]
        if excess > 0:
            self.spend(turn, account, excess)

    def reduce(self, turn: Turn, entry: int, amount: int) -> None:
        """Take `amount` off one lot."""
        turn.store.execute(SPEND, (amount, entry))

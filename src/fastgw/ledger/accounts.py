"""Decides what the segment is told of an account of the ledger, and what the books show of it."""

from typing import NamedTuple

from .._segment import Segment, account_digest
from ..states import AccountStatus
from .errors import NotFound
from .meters import Meters
from .plans import Plans
from .roster import Kind, Roster
from .store import Store
from .views import AccountView
from .writer import Turn

STATUSES = {
    "active": AccountStatus.ACTIVE,
    "suspended": AccountStatus.SUSPENDED,
    "closed": AccountStatus.CLOSED,
}
SELECT = (
    "SELECT a.id, a.name, a.origin, a.status, a.credit, a.plan, a.expires, a.created, a.balance, a.opened,"
    " ifnull(p.captured, 0), ifnull(p.entered, 0), ifnull(p.taken, 0)"
    " FROM account a LEFT JOIN position p ON p.account = a.id "
)


class AccountRow(NamedTuple):
    """What the ledger knows of an account; `id` is its number, money in nanos."""

    id: int
    name: str
    origin: str
    status: str
    credit: int
    plan: str
    expires_s: int
    created_s: int
    balance: int
    opened: int
    captured: int
    entered: int
    taken: int

    @property
    def granted(self) -> int:
        """All that workers and keeper may ever have taken in this segment: the balance and what they took of it."""
        return self.balance + self.entered + self.taken


def find(store: Store, name: str) -> AccountRow:
    """Raises NotFound."""
    row = store.row(f"{SELECT} WHERE a.name = ?", (name,))
    if row is None:
        raise NotFound(f'account "{name}": no account has this name')
    return AccountRow(*row)


class Accounts:
    """The accounts' side of the segment."""

    def __init__(self, segment: Segment, roster: Roster, plans: Plans, meters: Meters) -> None:
        self.segment, self.roster, self.plans, self.meters = segment, roster, plans, meters
        self.quotas: dict[int, tuple[int, int]] = {}  # index of the day's and of the month's meter (or -1), by account
        self.above: set[int] = set()  # accounts to whom the segment has granted more than their row says

    def enroll_as(self, number: int, name: str, index: int) -> None:
        """This record of the segment is the account's of that number in the ledger."""
        self.roster.enroll(index, Kind.ACCOUNT, number)
        self.roster.names.put(index, name)

    def claim_quotas(self, store: Store, row: AccountRow, now_s: int) -> None:
        """Have a meter for every quota of the account's plan. Raises Invalid: no such plan; SegmentError: no room."""
        plan = self.plans.get(row.plan)
        if not plan.day_quota and not plan.month_quota:
            return
        day, month = self.quotas.get(row.id, (-1, -1))
        if plan.day_quota and day < 0:
            day = self.meters.claim(store, Kind.DAY, row.id, f"{row.name}/day", now_s)
        if plan.month_quota and month < 0:
            month = self.meters.claim(store, Kind.MONTH, row.id, f"{row.name}/month", now_s)
        self.quotas[row.id] = (day, month)

    def tell(self, row: AccountRow, now_s: int) -> None:
        """Make the segment say of the account what the ledger does. It is durable, and its quotas are claimed."""
        index = self.roster.index(row.id)
        if index < 0:
            return
        plan = self.plans.by_name.get(row.plan)
        day = month = -1
        if plan is not None and row.id in self.quotas:
            claimed = self.quotas[row.id]
            if plan.day_quota:
                day = claimed[0]
                self.meters.tell(day, plan.day_quota, "day", plan.timezone, now_s)
            if plan.month_quota:
                month = claimed[1]
                self.meters.tell(month, plan.month_quota, "month", plan.timezone, now_s)
        if row.granted < 0:
            self._owe(index, row.granted)
        self.segment.set_terms(
            index,
            credit=row.credit,
            status=STATUSES[row.status],
            plan=self.plans.slots.get(row.plan, 0),
            expires_s=row.expires_s,
            day=day,
            month=month,
        )
        self._level(index, row)

    def _owe(self, index: int, granted: int) -> None:
        """A debt comes before the credit line that allows it: into a record that nobody has used."""
        money = self.segment.account(index)
        if money["granted"] == money["committed"] == 0:
            self.segment.set_granted(index, granted)

    def _level(self, index: int, row: AccountRow) -> None:
        try:
            self.segment.grant(index, row.granted)
        except ValueError:
            # There is more: of a later top-up than this row knows, or of entries that an older ledger, put back in
            # place, does not have. What was granted may be spent already, so it is not lowered but taken.
            self.above.add(row.id)

    def change(self, turn: Turn, row: AccountRow) -> None:
        """Write the terms of an account, and tell the segment once that is durable."""
        self.claim_quotas(turn.store, row, turn.now_s)
        turn.store.execute(
            "UPDATE account SET origin = ?, status = ?, credit = ?, plan = ?, expires = ? WHERE id = ?",
            (row.origin, row.status, row.credit, row.plan, row.expires_s, row.id),
        )
        turn.then(lambda: self.tell(row, turn.now_s))

    def insert(self, turn: Turn, row: AccountRow) -> AccountRow:
        """Write a new account, whose number is not known yet; the row with it. Raises SegmentError: no room."""
        turn.store.execute(
            "INSERT INTO account (name, origin, status, credit, plan, expires, created) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (row.name, row.origin, row.status, row.credit, row.plan, row.expires_s, row.created_s),
        )
        row = row._replace(id=turn.store.last_id)
        digest = account_digest(row.name)
        index = self.roster.claim(digest)
        self.enroll_as(row.id, row.name, index)
        turn.then(lambda: self.tell(row, turn.now_s), lambda: self.roster.release(digest, index))
        self.claim_quotas(turn.store, row, turn.now_s)
        return row

    def view(self, row: AccountRow, now_s: int) -> AccountView:
        """The account as it is now: money as the segment has it, which is ahead of the ledger."""
        index = self.roster.index(row.id)
        balance, held = row.balance - (row.captured - row.entered), 0
        quotas = []
        if index >= 0:
            money = self.segment.account(index)
            balance = money["granted"] - money["captured"] - money["taken"]
            held = money["committed"] - money["captured"] - money["taken"]
            quotas = [self.meters.view(money[kind], now_s) for kind in ("day", "month") if money[kind] >= 0]
        return AccountView(
            name=row.name,
            origin=row.origin,
            status=row.status,
            plan=row.plan,
            credit_nanos=row.credit,
            expires_s=row.expires_s,
            balance_nanos=balance,
            held_nanos=held,
            available_nanos=balance + row.credit - held,
            quotas=quotas,
            created_s=row.created_s,
        )

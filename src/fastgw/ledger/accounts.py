"""Decides what the segment is told of an account of the ledger, and what the books show of it."""

from typing import NamedTuple

from .._segment import Segment, account_digest
from ..model import TAGS_MAX
from ..states import AccountStatus
from .errors import NotFound
from .meters import Meters
from .plans import Plans
from .roster import NAMES, Kind, Roster
from .store import Store
from .views import AccountView
from .writer import Turn

# The quotas of a plan: its field, the meter's kind and window. The segment has them under the kind's name.
QUOTAS = (
    ("day_quota", Kind.DAY, "day"),
    ("month_quota", Kind.MONTH, "month"),
    ("day_tokens", Kind.DAY_TOKENS, "day"),
    ("month_tokens", Kind.MONTH_TOKENS, "month"),
)
STATUSES = {
    "active": AccountStatus.ACTIVE,
    "suspended": AccountStatus.SUSPENDED,
    "closed": AccountStatus.CLOSED,
}
SELECT = (
    "SELECT a.id, a.name, a.origin, a.status, a.credit, a.plan, a.expires, a.created, a.balance, a.opened,"
    " ifnull(p.captured, 0), ifnull(p.entered, 0), ifnull(p.taken, 0), a.tag_budget, a.tag_period, a.tags_max"
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
    tag_budget: int = 0
    tag_period: str = ""
    tags_max: int = TAGS_MAX

    @property
    def tags(self) -> tuple[int, str, int]:
        """What it gives to a tag that is not known yet, in which period, and how many tags it may have."""
        return self.tag_budget, self.tag_period, self.tags_max

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
        self.quotas: dict[int, dict[Kind, int]] = {}  # index of the meter by what it counts, by account
        self.above: set[int] = set()  # accounts to whom the segment has granted more than their row says

    def enroll_as(self, number: int, name: str, index: int) -> None:
        """This record of the segment is the account's of that number in the ledger."""
        self.roster.enroll(index, Kind.ACCOUNT, number)
        self.roster.names.put(index, name)

    def claim_quotas(self, store: Store, row: AccountRow, now_s: int) -> None:
        """Have a meter for every quota of the account's plan. Raises Invalid: no such plan; SegmentError: no room."""
        plan = self.plans.get(row.plan)
        for name, kind, _ in QUOTAS:
            if getattr(plan, name) and kind not in self.quotas.get(row.id, {}):
                index = self.meters.claim(store, kind, row.id, f"{row.name}/{NAMES[kind]}", now_s)
                self.quotas.setdefault(row.id, {})[kind] = index

    def tell(self, row: AccountRow, now_s: int) -> None:
        """Make the segment say of the account what the ledger does. It is durable, and its quotas are claimed."""
        index = self.roster.index(row.id)
        if index < 0:
            return
        plan = self.plans.by_name.get(row.plan)
        claimed = self.quotas.get(row.id, {})
        meters = dict.fromkeys((kind for _, kind, _ in QUOTAS), -1)
        for name, kind, period in QUOTAS:
            limit = 0 if plan is None else getattr(plan, name)
            if plan is not None and limit and kind in claimed:
                meters[kind] = claimed[kind]
                self.meters.tell(claimed[kind], limit, period, plan.timezone, now_s)
        if row.granted < 0:
            self._owe(index, row.granted)
        self.segment.set_quotas(index, day_tokens=meters[Kind.DAY_TOKENS], month_tokens=meters[Kind.MONTH_TOKENS])
        self.segment.set_terms(
            index,
            credit=row.credit,
            status=STATUSES[row.status],
            plan=self.plans.slots.get(row.plan, 0),
            expires_s=row.expires_s,
            day=meters[Kind.DAY],
            month=meters[Kind.MONTH],
            tags=row.tag_budget > 0,
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
            "UPDATE account SET origin = ?, status = ?, credit = ?, plan = ?, expires = ?, tag_budget = ?,"
            " tag_period = ?, tags_max = ? WHERE id = ?",
            (row.origin, row.status, row.credit, row.plan, row.expires_s, *row.tags, row.id),
        )
        turn.then(lambda: self.tell(row, turn.now_s))

    def insert(self, turn: Turn, row: AccountRow) -> AccountRow:
        """Write a new account, whose number is not known yet; the row with it. Raises SegmentError: no room."""
        turn.store.execute(
            "INSERT INTO account (name, origin, status, credit, plan, expires, created, tag_budget, tag_period,"
            " tags_max) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (row.name, row.origin, row.status, row.credit, row.plan, row.expires_s, row.created_s, *row.tags),
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
            quotas = [self.meters.view(money[NAMES[kind]], now_s) for _, kind, _ in QUOTAS if money[NAMES[kind]] >= 0]
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
            tag_budget_nanos=row.tag_budget,
            tag_budget_period=row.tag_period,
            tags_max=row.tags_max,
        )

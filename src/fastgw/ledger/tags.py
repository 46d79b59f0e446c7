"""Decides which tags an account has: declared, made by hand or at their first use; in the segment a tag is a key record
that nothing can present as a key, so that its end and its budget are what a key's are."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from .._segment import Segment
from ..model import Tag
from ..states import KeyStatus
from .accounts import AccountRow, find
from .errors import Conflict, NotFound, ReadOnly
from .key_table import PLAN, KeyTable, Origin, number_of
from .meters import Meters
from .plans import Plans
from .roster import Kind, Roster
from .rules import check_budget, check_expires, check_tag
from .store import Store
from .views import TagView
from .writer import Turn

SELECT = "SELECT number, digest, account, name, origin, budget, period, expires, status, created FROM tag "
INSERT = "INSERT INTO tag VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
UPDATE = "UPDATE tag SET origin = ?, budget = ?, period = ?, expires = ?, status = ? WHERE number = ?"
LIVE = "SELECT count(*) FROM tag WHERE account = ? AND status = 'active' AND (expires = 0 OR expires > ?)"


class TagRow(NamedTuple):
    """`account` is its number in the ledger, a budget of 0 is none."""

    number: int
    digest: bytes
    account: int
    name: str
    origin: str
    budget: int
    period: str
    expires_s: int
    status: str
    created_s: int


class Tags:
    """All tags. What is named after a turn is the work of one job of the writer."""

    def __init__(self, segment: Segment, roster: Roster, plans: Plans, meters: Meters, keys: KeyTable) -> None:
        self.segment, self.roster, self.plans, self.meters, self.keys = segment, roster, plans, meters, keys
        self.budgets: dict[int, int] = {}  # index of the meter by the tag's number

    # Writing the segment

    def prepare(self, store: Store, row: TagRow, now_s: int) -> Callable[[], None]:
        """What will make the segment say of a tag what the ledger does, as `KeyTable.prepare`. Raises SegmentError."""
        account = self.roster.index(row.account)
        if account < 0:
            return lambda: None  # closed, and not in this segment
        plan = self.plans.by_name.get(store.one(PLAN, (row.account,))[0])
        zone = plan.timezone if plan is not None else "UTC"
        budget = self._budget(store, row, now_s) if row.budget else -1
        index = self.segment.find_key(row.digest)
        if index < 0:
            index = self.keys.add(row.digest, account, 0, KeyStatus.REVOKED, row.expires_s, budget)
        status = KeyStatus.ACTIVE if row.status == "active" else KeyStatus.REVOKED

        def place() -> None:
            if budget >= 0:
                self.meters.tell(budget, row.budget, row.period, zone, now_s)
            self.keys.put(index, row.number, account, Origin.TAG, "", row.name)
            self.segment.set_key(index, account, 0, status, row.expires_s, budget)

        return place

    def _budget(self, store: Store, row: TagRow, now_s: int) -> int:
        index = self.budgets.get(row.number, -1)
        if index < 0:
            name = f"{row.digest[:8].hex()}/tag"
            index = self.budgets[row.number] = self.meters.claim(store, Kind.TAG, row.number, name, now_s)
        return index

    def restore(self, store: Store, now_s: int) -> None:
        """Place every tag of the ledger."""
        for values in store.rows(SELECT):
            self.prepare(store, TagRow(*values), now_s)()

    def reopen(self, turn: Turn, account: int) -> None:
        """Place the tags of an account that had no place in this segment."""
        for values in turn.store.rows(f"{SELECT} WHERE account = ?", (account,)):
            turn.then(self.prepare(turn.store, TagRow(*values), turn.now_s))

    def _put(self, turn: Turn, row: TagRow, is_new: bool) -> None:
        if is_new:
            turn.store.execute(INSERT, row)
        else:
            values = (row.origin, row.budget, row.period, row.expires_s, row.status, row.number)
            turn.store.execute(UPDATE, values)
        turn.then(self.prepare(turn.store, row, turn.now_s))

    def _make(
        self, turn: Turn, owner: AccountRow, name: str, origin: str, budget: int, period: str, expires_s: int
    ) -> TagRow:
        """The row of a tag that is not there yet, but for its being written."""
        digest = self.segment.tag_digest(owner.name, name)
        terms = (origin, budget, period, expires_s, "active", turn.now_s)
        return TagRow(number_of(digest), digest, owner.id, name, *terms)

    def _row(self, store: Store, account: int, name: str) -> TagRow | None:
        values = store.row(f"{SELECT} WHERE account = ? AND name = ?", (account, name))
        return None if values is None else TagRow(*values)

    # Jobs

    def create(self, turn: Turn, account: str, name: str, budget: int, period: str, expires_s: int) -> None:
        """A new tag; one that was removed or has expired goes on, with what its budget has used."""
        check_tag(name)
        check_budget(budget, period)
        check_expires(expires_s, turn.now_s)
        owner = find(turn.store, account)
        if owner.status == "closed":
            raise Conflict(f'account "{account}" is closed')
        former = self._row(turn.store, owner.id, name)
        if former is not None and former.status == "active" and not 0 < former.expires_s <= turn.now_s:
            raise Conflict(f'tag "{name}": the account has a tag of this name already')
        if turn.store.one(LIVE, (owner.id, turn.now_s))[0] >= owner.tags_max:
            raise Conflict(f'account "{account}" has {owner.tags_max} tags, as many as it may have: tags_max')
        self._put(turn, self._make(turn, owner, name, "api", budget, period, expires_s), former is None)

    def remove(self, turn: Turn, account: str, name: str) -> None:
        """Refuse the tag from now on; doing it again changes nothing."""
        row = self._row(turn.store, find(turn.store, account).id, name)
        if row is None:
            raise NotFound(f'tag "{name[:64]}": the account has no tag of this name')
        if row.origin == "file" and row.status == "active":
            raise ReadOnly(f'tag "{name}" is declared in the configuration, which alone may change it')
        self._put(turn, row._replace(status="removed"), False)

    def want(self, turn: Turn, index: int, name: str) -> bool:
        """A call of the account at `index` has named a tag that is not there; whether it is from now on."""
        check_tag(name)
        if self.roster.kind(index) != Kind.ACCOUNT:
            return False
        owner = find(turn.store, self.roster.names.get(index))
        former = self._row(turn.store, owner.id, name)
        if former is not None:
            return former.status == "active" and not 0 < former.expires_s <= turn.now_s
        if not owner.tag_budget or turn.store.one(LIVE, (owner.id, turn.now_s))[0] >= owner.tags_max:
            return False
        self._put(turn, self._make(turn, owner, name, "call", owner.tag_budget, owner.tag_period, 0), True)
        return True

    def declare(self, turn: Turn, tags: Iterable[Tag]) -> None:
        """The file's tags are these; those that it had before are removed."""
        rows = (TagRow(*values) for values in turn.store.rows(f"{SELECT} WHERE origin = 'file'"))
        left = {row.number: row for row in rows if row.status == "active"}
        for tag in tags:
            owner = find(turn.store, tag.account)
            terms = ("file", tag.budget_nanos, tag.budget_period, tag.expires_s)
            row = self._make(turn, owner, tag.name, *terms)
            former = self._row(turn.store, owner.id, tag.name)
            left.pop(row.number, None)
            if former is None or former[:9] != row[:9]:
                self._put(turn, row, former is None)
        for row in left.values():
            self._put(turn, row._replace(status="removed"), False)

    # Looking

    def page(self, store: Store, account: str, after: str, limit: int, now_s: int) -> list[TagView]:
        """By name, those beyond `after`. Raises NotFound."""
        owner = find(store, account)
        rows = store.rows(
            f"{SELECT} WHERE account = ? AND name > ? AND status = 'active' ORDER BY name LIMIT ?",
            (owner.id, after, limit),
        )
        return [self._view(account, TagRow(*values), now_s) for values in rows]

    def view(self, store: Store, account: str, name: str, now_s: int) -> TagView:
        """Raises NotFound."""
        row = self._row(store, find(store, account).id, name)
        if row is None:
            raise NotFound(f'tag "{name[:64]}": the account has no tag of this name')
        return self._view(account, row, now_s)

    def _view(self, account: str, row: TagRow, now_s: int) -> TagView:
        meter = self.budgets.get(row.number, -1)
        used = self.meters.view(meter, now_s) if row.budget and meter >= 0 else None
        expired = row.status == "active" and 0 < row.expires_s <= now_s
        return TagView(
            account=account,
            name=row.name,
            origin=row.origin,
            status="expired" if expired else row.status,
            budget_nanos=row.budget,
            budget_period=row.period,
            budget_used_nanos=used.used if used else 0,
            budget_held_nanos=used.held if used else 0,
            budget_resets_s=used.resets_s if used else 0,
            expires_s=row.expires_s,
            created_s=row.created_s,
        )

"""Decides what the file's accounts become in the ledger: opened, changed, closed, and what is granted by the file.

`balance` in the file is the total that the file grants: what of it has no 'opening' entry yet is given, and where it
was lowered, what was given is taken as far as no call holds or has spent it; the rest is tried at the next load.
"""

from collections.abc import Iterable, Iterator
from itertools import islice

from .._segment import account_digest
from ..model import Account
from ..units import format_money
from .accounts import SELECT, AccountRow
from .entries import GRANTED
from .errors import LoadError
from .parts import Parts
from .roster import Kind
from .store import Store
from .writer import Turn, say

BATCH = 2000  # accounts of one transaction
NAMES = "SELECT id, name, origin, status FROM account WHERE id > ? ORDER BY id LIMIT ?"
ROWS = f"{SELECT} WHERE a.id > ? AND a.id <= ? ORDER BY a.id"
PLANLESS = "SELECT plan, count(*) FROM account WHERE origin = 'api' AND plan <> '' GROUP BY plan"
INSERT = (
    "INSERT INTO account (id, name, origin, status, credit, plan, expires, created, tag_budget, tag_period, tags_max)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
PROBLEMS_SAID = 20


class Declaration:
    """One load of the file's accounts. `number` them, load the keys, `commit`."""

    def __init__(self, parts: Parts, accounts: Iterable[Account] | None, plans: Iterable[str], first: bool) -> None:
        """`accounts` of None: what is declared is not known, nothing is changed. `first`: the segment is not attached.

        Raises LoadError when a name comes twice.
        """
        self.parts = parts
        self.first = first
        self.accounts: dict[str, Account] = {}
        self.numbers: dict[str, int] = {}
        self.plans = {"", *plans}
        self.last = 0  # the last account of the ledger at the time
        self.known = accounts is not None
        for account in accounts or ():
            if account.name in self.accounts:
                raise LoadError(f'there are two accounts named "{account.name}"')
            if account.plan not in self.plans:
                raise LoadError(f'account "{account.name}": plan = "{account.plan}": no plan has this name')
            self.accounts[account.name] = account

    def check(self) -> None:
        """Raises LoadError when the ledger has something against it."""

        def look(store: Store) -> None:
            for plan, number in store.rows(PLANLESS):
                if plan not in self.plans:
                    raise LoadError(f'plan "{plan}" has {number} accounts made through the API and is not declared')

        self.parts.writer.read(look)

    def number(self) -> dict[str, int]:
        """Find the record in the segment of every account, declared or known to the ledger; the declared ones' by name.

        Raises LoadError when one was made through the API, SegmentError when there is no room.
        """
        roster = self.parts.roster
        while rows := self.parts.writer.read(lambda store: store.rows(NAMES, (self.last, BATCH))):
            self.last = rows[-1][0]
            with self.parts.writer.lock:
                for number, name, origin, status in rows:
                    declared = name in self.accounts
                    if declared and origin == "api":
                        raise LoadError(f'account "{name}" was made through the API: the file cannot declare it too')
                    index = roster.index(number)
                    if index < 0:
                        digest = account_digest(name)
                        if status == "closed" and not declared and digest not in roster.strays:
                            continue  # nobody can call for it
                        index = roster.claim(digest)
                        self.parts.accounts.enroll_as(number, name, index)
                    if declared:
                        self.numbers[name] = index
        unknown = iter([name for name in self.accounts if name not in self.numbers])
        while names := list(islice(unknown, BATCH)):
            with self.parts.writer.lock:
                for name in names:
                    self.numbers[name] = roster.claim(account_digest(name))
        return self.numbers

    def forget(self) -> None:
        """It is refused: records claimed for new accounts are nobody's again."""
        with self.parts.writer.lock:
            for name, index in self.numbers.items():
                if self.parts.roster.kind(index) == Kind.UNKNOWN:
                    self.parts.roster.release(account_digest(name), index)

    def commit(self) -> None:
        """Write it, a batch at a time, and tell the segment."""
        lowered: list[tuple[int, int]] = []
        new = set(self.accounts)
        for start in range(0, self.last, BATCH):
            self.parts.writer.call(lambda turn, start=start: self._known(turn, start, new, lowered))  # type: ignore[misc]
        unknown = iter([name for name in self.accounts if name in new])
        while names := list(islice(unknown, BATCH)):
            self.parts.writer.call(lambda turn, names=names: self._unknown(turn, names))  # type: ignore[misc]
        self._lower(iter(lowered))
        if self.first:
            self._take_above()

    def _take_above(self) -> None:
        """Take what the segment granted by entries that this ledger, an older copy, does not have."""

        def take(turn: Turn) -> None:
            for number in self.parts.accounts.above:
                granted = self.parts.segment.account(self.parts.roster.index(number))["granted"]
                more = granted - turn.store.one(GRANTED, (number,))[0]
                amount = min(more, self.parts.entries.available(turn, number))
                if amount > 0:
                    self.parts.entries.take(turn, number, amount)

        if self.parts.accounts.above:
            say(
                f"{len(self.parts.accounts.above)} accounts had been granted more than the ledger knows, as if it were "
                "an older copy: what is left of that is taken back"
            )
            self.parts.writer.call(take)
            self.parts.accounts.above.clear()

    def _known(self, turn: Turn, start: int, new: set[str], lowered: list[tuple[int, int]]) -> None:
        """Change the accounts of the ledger numbered from `start` + 1, at most a batch of them."""
        told = []
        for values in turn.store.rows(ROWS, (start, min(start + BATCH, self.last))):
            row = AccountRow(*values)
            account = self.accounts.get(row.name)
            new.discard(row.name)
            if account is not None:
                row = self._declared(turn, row, account, lowered)
            elif self.known and row.origin == "file" and row.status != "closed":
                row = row._replace(status="closed")
                turn.store.execute("UPDATE account SET status = 'closed' WHERE id = ?", (row.id,))
            if self.parts.roster.index(row.id) >= 0:
                told.append(row)
        self._tell(turn, told)

    def _declared(self, turn: Turn, row: AccountRow, account: Account, lowered: list[tuple[int, int]]) -> AccountRow:
        wanted = row._replace(
            status="suspended" if account.suspended else "active",
            credit=account.credit_nanos,
            plan=account.plan,
            expires_s=account.expires_s,
            tag_budget=account.tag_budget_nanos,
            tag_period=account.tag_budget_period,
            tags_max=account.tags_max,
        )
        if wanted != row:
            turn.store.execute(
                "UPDATE account SET status = ?, credit = ?, plan = ?, expires = ?, tag_budget = ?, tag_period = ?,"
                " tags_max = ? WHERE id = ?",
                (wanted.status, wanted.credit, wanted.plan, wanted.expires_s, *wanted.tags, wanted.id),
            )
        if row.status == "closed":
            self.parts.keys.reopen(turn, row.id)
            self.parts.tags.reopen(turn, row.id)
        more = account.balance_nanos - row.opened
        if more > 0:
            self.parts.entries.credit(turn, row.id, "opening", more)
            wanted = AccountRow(*turn.store.one(f"{SELECT} WHERE a.id = ?", (row.id,)))
        elif more < 0:
            lowered.append((row.id, -more))
        return wanted

    def _unknown(self, turn: Turn, names: list[str]) -> None:
        """Make new accounts, for which records are claimed already."""
        first = turn.store.one("SELECT ifnull(max(id), 0) + 1 FROM account")[0]
        rows = []
        for number, name in enumerate(names, first):
            account = self.accounts[name]
            status = "suspended" if account.suspended else "active"
            terms = (status, account.credit_nanos, account.plan, account.expires_s, turn.now_s)
            tags = (account.tag_budget_nanos, account.tag_budget_period, account.tags_max)
            rows.append(AccountRow(number, name, "file", *terms, account.balance_nanos, 0, 0, 0, 0, *tags))
        turn.store.executemany(INSERT, [(*row[:8], *row.tags) for row in rows])
        openings = [(row.id, "opening", row.balance, "", "", 0) for row in rows if row.balance]
        if openings:
            self.parts.entries.append(turn, openings)
        for row in rows:
            self.parts.accounts.enroll_as(row.id, row.name, self.numbers[row.name])

        def undo() -> None:
            for name in names:
                self.parts.roster.expel(self.numbers[name])

        turn.then(None, undo)
        self._tell(turn, rows)

    def _tell(self, turn: Turn, rows: list[AccountRow]) -> None:
        parts = self.parts
        for row in rows:
            if row.plan in self.plans and row.status != "closed":
                parts.accounts.claim_quotas(turn.store, row, turn.now_s)

        def tell() -> None:
            for row in rows:
                if self.first:
                    parts.segment.take_recover(parts.roster.index(row.id), row.taken)
                parts.accounts.tell(row, turn.now_s)
                parts.at("placed")

        turn.then(tell)

    def _lower(self, lowered: Iterator[tuple[int, int]]) -> None:
        said = 0

        def lower(turn: Turn, batch: list[tuple[int, int]]) -> list[tuple[str, int]]:
            return [(name, rest) for each in batch for name, rest in self._lower_one(turn, *each) if rest]

        while batch := list(islice(lowered, BATCH)):
            for name, rest in self.parts.writer.call(lambda turn, batch=batch: lower(turn, batch)):  # type: ignore[misc]
                said += 1
                if said <= PROBLEMS_SAID:
                    say(
                        f'account "{name}": the file lowers what it grants by {format_money(rest)} more than is left; '
                        "the rest is tried at the next load"
                    )

    def _lower_one(self, turn: Turn, number: int, less: int) -> list[tuple[str, int]]:
        """Take back what the file granted, as far as it is there; the account and the rest."""
        entries = self.parts.entries
        entries.enter(turn, number)
        name, balance = turn.store.one("SELECT name, balance FROM account WHERE id = ?", (number,))
        amount = max(0, min(less, balance, entries.available(turn, number)))
        if amount and entries.take(turn, number, amount):
            entries.retract(turn, number, amount)
            less -= amount
        return [(name, less)]

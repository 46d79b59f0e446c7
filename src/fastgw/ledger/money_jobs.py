"""Decides how accounts are made and changed and money is moved through the API: once for each idempotency key."""

import hashlib
import json
from collections.abc import Callable

from .accounts import AccountRow, find
from .errors import Conflict, IdempotencyMismatch, Insufficient, Invalid, ReadOnly
from .parts import Parts
from .rules import check_account_name, check_amount, check_credit, check_expires, check_means, check_text
from .store import Store
from .views import EntryView
from .writer import Turn

ENTRY = (
    "SELECT e.id, a.name, e.kind, e.amount, e.at, e.reference, e.note, e.expires"
    " FROM entry e JOIN account a ON a.id = e.account "
)


def entry_view(store: Store, number: int) -> EntryView:
    return EntryView(*store.one(f"{ENTRY} WHERE e.id = ?", (number,)))


class MoneyJobs:
    """Each method is the work of one job of the writer."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    # Accounts

    def create(self, turn: Turn, name: str, credit: int, plan: str, expires_s: int, suspended: bool) -> AccountRow:
        check_account_name(name)
        check_credit(credit)
        check_expires(expires_s, turn.now_s)
        self.parts.plans.get(plan)
        if turn.store.row("SELECT 1 FROM account WHERE name = ?", (name,)) is not None:
            raise Conflict(f'account "{name}": an account has this name already')
        status = "suspended" if suspended else "active"
        row = AccountRow(0, name, "api", status, credit, plan, expires_s, turn.now_s, 0, 0, 0, 0, 0)
        row = self.parts.accounts.insert(turn, row)
        turn.then(self.parts.allowances.look)
        return row

    def change(
        self,
        turn: Turn,
        name: str,
        credit: int | None,
        plan: str | None,
        expires_s: int | None,
        suspended: bool | None,
    ) -> AccountRow:
        row = find(turn.store, name)
        if row.origin == "file":
            raise ReadOnly(f'account "{name}" is declared in the configuration, which alone may change it')
        if credit is not None:
            check_credit(credit)
            check_means(row.granted, credit)
            row = row._replace(credit=credit)
        if plan is not None:
            row = row._replace(plan=plan)
        if expires_s is not None:
            check_expires(expires_s, turn.now_s)
            row = row._replace(expires_s=expires_s)
        if suspended is not None:
            row = row._replace(status="suspended" if suspended else "active")
        self.parts.accounts.change(turn, row)
        turn.then(self.parts.allowances.look)
        return row

    # Money

    def top_up(
        self, turn: Turn, name: str, amount: int, reference: str, note: str, expires_s: int, idempotency_key: str
    ) -> EntryView:
        check_amount(amount)
        check_text("reference", reference)
        check_text("note", note)

        def append() -> int:
            check_expires(expires_s, turn.now_s)
            row = self._open(turn.store, name)
            check_means(row.granted + amount, row.credit)
            texts = {"reference": reference, "note": note}
            return self.parts.entries.credit(turn, row.id, "topup", amount, expires_s=expires_s, **texts)

        request = ("topup", name, amount, reference, note, expires_s)
        return entry_view(turn.store, self._once(turn, idempotency_key, request, append))

    def adjust(self, turn: Turn, name: str, amount: int, note: str, reference: str, idempotency_key: str) -> EntryView:
        if not amount:
            raise Invalid("amount must not be 0")
        check_amount(abs(amount))
        check_text("reference", reference)
        check_text("note", note)
        if not note:
            raise Invalid("note must say why")

        def append() -> int:
            row = find(turn.store, name)
            if amount > 0:
                check_means(row.granted + amount, row.credit)
                return self.parts.entries.credit(turn, row.id, "adjustment", amount, reference=reference, note=note)
            self.parts.entries.enter(turn, row.id)
            if not self.parts.entries.take(turn, row.id, -amount):
                available = self.parts.entries.available(turn, row.id)
                raise Insufficient(f'account "{name}" has less than this available', available)
            return self.parts.entries.debit(turn, row.id, "adjustment", -amount, reference=reference, note=note)

        request = ("adjustment", name, amount, reference, note)
        return entry_view(turn.store, self._once(turn, idempotency_key, request, append))

    def _open(self, store: Store, name: str) -> AccountRow:
        row = find(store, name)
        if row.status == "closed":
            raise Conflict(f'account "{name}" is closed')
        return row

    def _once(self, turn: Turn, key: str, request: tuple[object, ...], append: Callable[[], int]) -> int:
        """The number of the entry that the request of this idempotency key made, now or before.

        Keys are kept for as long as entries, so that no repetition is ever charged.
        """
        if not key:
            return append()
        check_text("idempotency key", key)
        fingerprint = hashlib.blake2b(json.dumps(request).encode(), digest_size=16).digest()
        known = turn.store.row("SELECT fingerprint, response FROM idempotency WHERE key = ?", (key,))
        if known is not None:
            if known[0] != fingerprint:
                raise IdempotencyMismatch("this idempotency key was used before, for another request")
            return int(known[1])
        number = append()
        turn.store.execute("INSERT INTO idempotency VALUES (?, ?, ?, ?)", (key, fingerprint, number, turn.now_s))
        return number

    def entries(self, turn: Turn, name: str, after: int, limit: int) -> list[EntryView]:
        """Entries beyond number `after`, the captures so far included."""
        row = find(turn.store, name)
        self.parts.entries.enter(turn, row.id)
        page = f"{ENTRY} WHERE e.account = ? AND e.id > ? ORDER BY e.id LIMIT ?"
        return [EntryView(*values) for values in turn.store.rows(page, (row.id, after, limit))]

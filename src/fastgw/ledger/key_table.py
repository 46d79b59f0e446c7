"""Decides what is known of the keys of the segment, declared in the file or made through the API, and loads both."""

from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from enum import IntEnum
from itertools import islice
from typing import NamedTuple

import numpy as np

from .._segment import Segment
from ..model import Key, Rate
from ..states import KeyStatus
from .errors import LoadError, NotFound
from .meters import Meters
from .plans import Plans
from .roster import Kind, Roster
from .store import Store
from .texts import Texts
from .views import KeyView
from .writer import Turn

BATCH = 1000  # keys loaded under one hold of the lock
HINT = 4
SELECT = (
    "SELECT number, digest, account, name, hint, rate_count, rate_period_ns, rate_burst, budget, period, meter,"
    " expires, status, created, token_count, token_period_ns, models FROM key "
)
PLAN = "SELECT plan FROM account WHERE id = ?"


class Origin(IntEnum):
    """Where a key of the segment comes from."""

    GONE = 0
    FILE = 1
    API = 2
    TAG = 3  # no key at all: see tags.py


class KeyRow(NamedTuple):
    """A key made through the API; `number` is the one in its id, `meter` the owner of its budget."""

    number: int
    digest: bytes
    account: int
    name: str
    hint: str
    rate_count: int
    rate_period_ns: int
    rate_burst: int
    budget: int
    period: str
    meter: int
    expires_s: int
    status: str
    created_s: int
    token_count: int = 0
    token_period_ns: int = 0
    models: str = ""  # names and patterns, a space between two; all without any

    @property
    def scope(self) -> tuple[str, ...]:
        return tuple(self.models.split())

    @property
    def token_rate(self) -> Rate | None:
        return Rate(self.token_count, self.token_period_ns, self.token_count) if self.token_count else None

    @property
    def rate(self) -> Rate | None:
        return Rate(self.rate_count, self.rate_period_ns, self.rate_burst) if self.rate_count else None


def number_of(digest: bytes) -> int:
    """The number in the id of a key: the first eight bytes of its digest, as SQLite has integers."""
    return int.from_bytes(digest[:8], "big", signed=True)


def id_of(number: int) -> str:
    return f"key_{number & 0xFFFF_FFFF_FFFF_FFFF:016x}"


def parse_id(key_id: str) -> int:
    """The number in an id. Raises NotFound."""
    try:
        raw = bytes.fromhex(key_id.removeprefix("key_"))
    except ValueError:
        raw = b""
    if len(raw) != 8 or id_of(number_of(raw)) != key_id:
        raise NotFound(f'key "{key_id[:80]}": no key has this id')
    return number_of(raw)


class KeyTable:
    """By index in the segment: the number, the origin, the last characters and the name."""

    def __init__(self, segment: Segment, roster: Roster, plans: Plans, meters: Meters) -> None:
        self.segment, self.roster, self.plans, self.meters = segment, roster, plans, meters
        self.numbers = array("q")
        self.accounts = array("i")
        self.origins = bytearray()
        self.hints = bytearray()
        self.names = Texts()
        self.rates: dict[int, Rate] = {}  # by number of the limit in the segment
        self.limits: dict[Rate, int] = {}
        self.budgets: dict[int, int] = {}  # index of the meter by its owner

    # Writing the segment

    def limit(self, rate: Rate | None) -> int:
        """The segment's number of a limit, 0 for none. Raises SegmentError when there are too many."""
        if rate is None:
            return 0
        number = self.limits.get(rate, 0)
        if not number:
            number = self.limits[rate] = self.segment.limit(rate.count, rate.period_ns, rate.burst)
            self.rates.setdefault(number, rate)
        return number

    def scope(self, models: tuple[str, ...]) -> int:
        """The segment's number of a set of models, 0 for all. Raises SegmentError when there are too many."""
        return self.segment.scope(models) if models else 0

    def budget(self, store: Store, owner: int, now_s: int) -> int:
        """The index of a budget's meter. Raises SegmentError: no room."""
        index = self.budgets.get(owner, -1)
        if index < 0:
            name = f"{id_of(owner)}/budget"
            index = self.budgets[owner] = self.meters.claim(store, Kind.BUDGET, owner, name, now_s)
        return index

    def add(self, digest: bytes, account: int, limit: int, status: int, expires_s: int, budget: int) -> int:
        """A new record in the segment; its index. Raises SegmentError: no room."""
        if self.roster.room is not None:
            self.roster.room.need(keys=self.segment.key_count + 1)
        return self.segment.add_key(digest, account, limit, status, expires_s, budget)

    def put(self, index: int, number: int, account: int, origin: Origin, hint: str, name: str) -> None:
        """Know who the key of that index is."""
        missing = index + 1 - len(self.numbers)
        if missing > 0:
            self.numbers.extend([0] * missing)
            self.accounts.extend([-1] * missing)
            self.origins.extend(bytes(missing))
            self.hints.extend(bytes(HINT * missing))
        self.numbers[index] = number
        self.accounts[index] = account
        self.origins[index] = origin
        self.hints[HINT * index : HINT * (index + 1)] = hint.encode().ljust(HINT, b"\0")[-HINT:]
        if name or self.names.get(index):
            self.names.put(index, name)

    def origin(self, index: int) -> int:
        return self.origins[index] if 0 <= index < len(self.origins) else Origin.GONE

    def prepare(self, store: Store, row: KeyRow, now_s: int) -> Callable[[], None]:
        """What will make the segment say of a key of the API what the ledger does; it finds its record and never fails.

        Until then a new record is of no use to anybody. Raises SegmentError: no room.
        """
        account = self.roster.index(row.account)
        if account < 0:
            return lambda: None  # closed, and not in this segment
        plan = self.plans.by_name.get(store.one(PLAN, (row.account,))[0])
        zone = plan.timezone if plan is not None else "UTC"
        budget = self.budget(store, row.meter, now_s) if row.budget else -1
        limit, tokens, scope = self.limit(row.rate), self.limit(row.token_rate), self.scope(row.scope)
        index = self.segment.find_key(row.digest)
        if index < 0:
            index = self.add(row.digest, account, limit, KeyStatus.REVOKED, row.expires_s, budget)
        status = KeyStatus.ACTIVE if row.status == "active" else KeyStatus.REVOKED

        def place() -> None:
            if budget >= 0:
                self.meters.tell(budget, row.budget, row.period, zone, now_s)
            self.put(index, row.number, account, Origin.API, row.hint, row.name)
            self.segment.set_key_tokens(index, tokens)
            self.segment.set_key_scope(index, scope)
            self.segment.set_key(index, account, limit, status, row.expires_s, budget)

        return place

    def reopen(self, turn: Turn, account: int) -> None:
        """Place the keys of an account that had no place in this segment."""
        for values in turn.store.rows(f"{SELECT} WHERE account = ?", (account,)):
            turn.then(self.prepare(turn.store, KeyRow(*values), turn.now_s))

    # Loading

    def restore(self, store: Store, now_s: int) -> None:
        """Place every key of the ledger."""
        for values in store.rows(SELECT):
            self.prepare(store, KeyRow(*values), now_s)()

    def load(
        self,
        keys: Iterable[Key],
        accounts: dict[str, int],
        zone_of: Callable[[str], str],
        store: Store,
        lock: AbstractContextManager[object],
        now_s: int,
    ) -> int:
        """Write the file's keys into the segment; how many. A key that is not declared any more is revoked.

        Raises LoadError when a key comes twice or names no account, SegmentError when there is no room.
        """
        declared = bytearray(self.segment.key_count)
        number = 0
        numbered = enumerate(keys, 1)
        while batch := list(islice(numbered, BATCH)):
            with lock:
                for number, key in batch:
                    index = self._load(number, key, accounts, zone_of, store, declared, now_s)
                    if index >= len(declared):
                        declared.extend(bytes(index + 1 - len(declared)))
                    declared[index] = 1
        self._revoke_others(declared, lock)
        return number

    def _load(
        self,
        number: int,
        key: Key,
        accounts: dict[str, int],
        zone_of: Callable[[str], str],
        store: Store,
        declared: bytearray,
        now_s: int,
    ) -> int:
        account = accounts.get(key.account)
        if account is None:
            raise LoadError(f'key {number:,}: account = "{key.account}": no account has this name')
        text = key.key.reveal()
        digest = self.segment.digest(text.encode())
        index = self.segment.find_key(digest)
        if index >= 0 and index < len(declared) and declared[index]:
            raise LoadError(f"key {number:,} is there already (value not shown)")
        if self.origin(index) == Origin.API:
            raise LoadError(f"key {number:,} was made through the API (value not shown)")
        key_number = number_of(digest)
        budget = -1
        if key.budget_nanos:
            zone = zone_of(key.account)
            budget = self.budget(store, key_number, now_s)
            self.meters.tell(budget, key.budget_nanos, key.budget_period, zone, now_s)
        status = KeyStatus.REVOKED if key.revoked else KeyStatus.ACTIVE
        limit, tokens, scope = self.limit(key.rate), self.limit(key.token_rate), self.scope(key.models)
        if index < 0:  # of no use before all is said of it
            index = self.add(digest, account, limit, KeyStatus.REVOKED, key.expires_s, budget)
        self.segment.set_key_tokens(index, tokens)
        self.segment.set_key_scope(index, scope)
        self.segment.set_key(index, account, limit, status, key.expires_s, budget)
        self.put(index, key_number, account, Origin.FILE, text[-HINT:] if len(text) >= 4 * HINT else "", key.name)
        return index

    def _revoke_others(self, declared: bytearray, lock: AbstractContextManager[object]) -> None:
        undeclared: Iterator[int] = (index for index, seen in enumerate(declared) if not seen)
        while batch := list(islice(undeclared, BATCH)):
            with lock:
                for index in batch:
                    if self.origin(index) in (Origin.GONE, Origin.FILE):
                        self.segment.revoke_key(index)
                        if index < len(self.origins):
                            self.origins[index] = Origin.GONE

    # Looking

    def find(self, number: int) -> int:
        """The index of the key of that number, or -1."""
        found = np.flatnonzero(np.frombuffer(self.numbers, np.int64) == number)
        known = [int(index) for index in found if self.origins[index] in (Origin.FILE, Origin.API)]
        return known[0] if known else -1

    def page(self, account: int, after: int, limit: int) -> list[int]:
        """Indexes of keys, of one account (by its index) or, with -1, of all, in order, beyond `after`."""
        origins = np.frombuffer(self.origins, np.uint8)
        chosen = (origins == Origin.FILE) | (origins == Origin.API)
        if account >= 0:
            chosen = chosen & (np.frombuffer(self.accounts, np.int32) == account)
        return [int(index) for index in np.flatnonzero(chosen[after + 1 :])[:limit] + after + 1]

    def view(self, store: Store, index: int, now_s: int) -> KeyView:
        """A key of the segment as it is now."""
        record = self.segment.key(index)
        number = self.numbers[index]
        budget = None if record["budget"] < 0 else self.meters.view(record["budget"], now_s)
        created = store.row("SELECT created FROM key WHERE number = ?", (number,))
        status = "active" if record["status"] == KeyStatus.ACTIVE else "revoked"
        expires_s = record["expires_s"]
        if status == "active" and 0 < expires_s <= now_s:
            status = "expired"
        return KeyView(
            id=id_of(number),
            account=self.roster.names.get(record["account"]),
            name=self.names.get(index),
            hint=self.hints[HINT * index : HINT * (index + 1)].rstrip(b"\0").decode(),
            origin="api" if self.origins[index] == Origin.API else "file",
            status=status,
            rate=self.rates.get(record["limit"]),
            budget_nanos=budget.limit if budget else 0,
            budget_period=self.meters.period(record["budget"]) if budget else "",
            budget_used_nanos=budget.used if budget else 0,
            budget_resets_s=budget.resets_s if budget else 0,
            expires_s=expires_s,
            created_s=0 if created is None else created[0],
            token_rate=self.rates.get(record["tokens"]),
            models=self.segment.scope_of(record["scope"]),
        )

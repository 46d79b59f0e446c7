"""Decides what the rest of the gateway can do with the ledger: the one door to it, for any thread."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterable

from msgspec import UNSET, UnsetType

from .._segment import Segment, SegmentError
from ..model import Account, Config, Key, Rate
from ..room import Room
from .accounts import SELECT, AccountRow, find
from .attach import attach
from .audit import Audit, LogCosts
from .declare import Declaration
from .errors import Conflict, LedgerUnavailable, LoadError, NotFound
from .key_jobs import KeyJobs
from .key_table import id_of, parse_id
from .money_jobs import MoneyJobs
from .parts import Parts
from .store import Store
from .views import AccountView, AuditReport, EntryView, KeyView, LedgerState, TagView
from .writer import CALL_S, T, Turn

PAGE_MAX = 1000


class Books:
    """The ledger of one segment. Money in nanos, times in Unix seconds, 0 for never.

    `open`, `apply`, `start`, …, `stop`. Methods return when what they did is durable; they raise a LedgerError,
    LedgerUnavailable when that cannot be.
    """

    def __init__(
        self,
        segment: Segment,
        directory: str,
        clock: Callable[[], int] = time.time_ns,
        at: Callable[[str], None] = lambda _: None,
        vfs: str | None = None,
    ) -> None:
        self._make_parts: Callable[[], Parts] = lambda: Parts(segment, Store(directory, vfs), clock, at)
        self.loading = threading.Lock()  # who makes or declares accounts
        self._assemble()

    def _assemble(self) -> None:
        self.parts = self._make_parts()
        self.writer = self.parts.writer
        self.money = MoneyJobs(self.parts)
        self.key_jobs = KeyJobs(self.parts)

    def renew(self) -> None:
        """Forget an `open` or first `apply` that failed, to try again."""
        self.close()
        self._assemble()

    # Life

    def open(self) -> None:
        """Open the ledger and attach it to the segment. Raises StoreError, apsw.Error, OSError."""
        parts = self.parts
        parts.store.open()
        attach(parts.store, parts.segment, parts.entries, parts.clock())
        parts.roster.adopt()
        parts.meters.restore(parts.store)
        parts.positions.restore(parts.store)
        parts.entries.restore(parts.store)

    def apply(
        self, config: Config, accounts: Iterable[Account] | None = None, keys: Iterable[Key] | None = None
    ) -> None:
        """Make accounts and keys what is declared, and plans; those made through the API stay.

        `accounts` and `keys` are all of the file's, `config.accounts` and `config.keys` unless given.
        Raises LoadError, ConfigError (from the iterables), SegmentError: no room, LedgerUnavailable.
        """
        parts = self.parts
        with self.loading:
            first = not self.writer.attached
            self._make_room(config)
            zones = {plan.name: plan.timezone for plan in config.plans}
            declared = config.accounts if accounts is None else accounts
            declaration = Declaration(parts, declared, zones, first)
            declaration.check()
            try:
                numbers = declaration.number()
                if first:
                    parts.plans.declare(config.plans)
                    with self.writer.lock:
                        parts.keys.restore(parts.store, parts.now_s)
                        parts.tags.restore(parts.store, parts.now_s)
                parts.keys.load(
                    config.keys if keys is None else keys,
                    numbers,
                    lambda name: zones.get(declaration.accounts[name].plan, "UTC"),
                    parts.store,
                    self.writer.lock,
                    parts.now_s,
                )
            except BaseException:
                declaration.forget()
                raise
            with self.writer.lock:
                parts.plans.declare(config.plans)
            declaration.commit()
            self.writer.call(lambda turn: parts.tags.declare(turn, config.tags))
            self._attached()

    def resume(self, config: Config) -> None:
        """Go on with accounts and keys as the ledger and the segment have them, whatever is declared, in place of the
        first `apply`. Raises SegmentError, LedgerUnavailable."""
        parts = self.parts
        with self.loading:
            self._make_room(config)
            parts.plans.declare(config.plans)
            declaration = Declaration(parts, None, parts.plans.by_name, first=True)
            declaration.number()
            with self.writer.lock:
                parts.keys.restore(parts.store, parts.now_s)
                parts.tags.restore(parts.store, parts.now_s)
            declaration.commit()
            self._attached()

    def _make_room(self, config: Config) -> None:
        limited = any(route.rate is not None for route in config.routes)
        routes = len(self.parts.segment.routes()) if limited else 0
        workers = max(config.server.workers, self.parts.segment.worker_slots)  # more slots than workers, once upgraded
        room = Room(self.parts.segment, workers=workers, routes=routes)
        room.need(keys=1, accounts=1)
        self.parts.roster.room = room

    def _attached(self) -> None:
        with self.writer.lock:
            self.parts.allowances.look()
            self.parts.meters.settled()
            self.writer.attached = True

    def start(self) -> None:
        """Commit by itself from now on."""
        self.writer.start()

    def stop(self) -> None:
        """Commit and enter everything that is captured, and close."""
        self.writer.stop()
        if self.writer.attached:

            def end(turn: Turn) -> None:
                self.parts.positions.enter_all(turn)
                turn.store.execute("UPDATE state SET drained = 1")

            with contextlib.suppress(LedgerUnavailable):  # then it is in the segment, where the next one finds it
                self.writer.call(end)
        self.writer.error = "the gateway ends"  # whoever comes late is told so, and is not the disk's failure
        self.close()

    def close(self) -> None:
        """Close the ledger as it is; what is captured and not committed is in the segment, where the next finds it."""
        self.parts.store.close()

    # Accounts

    def accounts(self, after: str = "", limit: int = 100) -> list[AccountView]:
        """By name, those beyond `after`; 1 to 1000."""
        limit = max(1, min(limit, PAGE_MAX))

        def look(store: Store) -> list[AccountView]:
            rows = store.rows(f"{SELECT} WHERE a.name > ? ORDER BY a.name LIMIT ?", (after, limit))
            return [self._account(AccountRow(*row)) for row in rows]

        return self.writer.read(look)

    def account(self, name: str) -> AccountView:
        """Raises NotFound."""
        return self.writer.read(lambda store: self._account(find(store, name)))

    def _account(self, row: AccountRow) -> AccountView:
        return self.parts.accounts.view(row, self.parts.now_s)

    def create_account(
        self, name: str, *, credit_nanos: int = 0, plan: str = "", expires_s: int = 0, suspended: bool = False
    ) -> AccountView:
        """Raises Conflict when it exists or there is no room, Invalid."""
        if not self.loading.acquire(timeout=CALL_S):
            raise LedgerUnavailable("accounts are being loaded from the configuration: repeat this in a moment")
        try:
            self._call(lambda turn: self.money.create(turn, name, credit_nanos, plan, expires_s, suspended))
        finally:
            self.loading.release()
        return self.account(name)

    def change_account(
        self,
        name: str,
        *,
        credit_nanos: int | None = None,
        plan: str | None = None,
        expires_s: int | None = None,
        suspended: bool | None = None,
    ) -> AccountView:
        """Change what is given. Raises NotFound, ReadOnly, Invalid."""
        self._call(lambda turn: self.money.change(turn, name, credit_nanos, plan, expires_s, suspended))
        return self.account(name)

    # Money

    def top_up(
        self,
        name: str,
        amount_nanos: int,
        *,
        reference: str = "",
        note: str = "",
        expires_s: int = 0,
        idempotency_key: str = "",
    ) -> EntryView:
        """Add credit, once for each idempotency key. Raises NotFound, Conflict, Invalid, IdempotencyMismatch."""
        work = (name, amount_nanos, reference, note, expires_s, idempotency_key)
        return self._call(lambda turn: self.money.top_up(turn, *work))

    def adjust(
        self, name: str, amount_nanos: int, *, note: str, reference: str = "", idempotency_key: str = ""
    ) -> EntryView:
        """Add or, below 0, take; once for each idempotency key. Raises as `top_up`, and Insufficient."""
        return self._call(lambda turn: self.money.adjust(turn, name, amount_nanos, note, reference, idempotency_key))

    def entries(self, name: str, after: int = 0, limit: int = 100) -> list[EntryView]:
        """Oldest first, those beyond number `after`; 1 to 1000. Raises NotFound."""
        limit = max(1, min(limit, PAGE_MAX))
        return self._call(lambda turn: self.money.entries(turn, name, after, limit))

    # Keys

    def keys(self, account: str = "", after: str = "", limit: int = 100) -> list[KeyView]:
        """Of one account or of all, of the file and the API, those beyond the id `after`. Raises NotFound."""
        limit = max(1, min(limit, PAGE_MAX))
        table = self.parts.keys

        def look(store: Store) -> list[KeyView]:
            index = -1
            if account:
                index = self.parts.roster.index(find(store, account).id)
                if index < 0:
                    return []
            start = -1
            if after:
                start = table.find(parse_id(after))
                if start < 0:
                    raise NotFound(f'key "{after[:80]}": no key has this id')
            return [table.view(store, found, self.parts.now_s) for found in table.page(index, start, limit)]

        return self.writer.read(look)

    def key(self, key_id: str) -> KeyView:
        """Raises NotFound."""
        return self.writer.read(lambda store: self.key_jobs.view(store, key_id))

    def key_index(self, key_id: str) -> int:
        """The place in the segment of a key that may be used, or might be again. Raises NotFound."""
        number = parse_id(key_id)
        with self.writer.lock:
            index = self.parts.keys.find(number)
        if index < 0:
            raise NotFound(f'key "{key_id}": it has been revoked for good, or was never here')
        return index

    def find_key(self, presented: str) -> KeyView:
        """The key of that text. Raises NotFound."""
        index = self.parts.segment.find_key(self.parts.segment.digest(presented.encode())) if presented else -1
        if not self.parts.keys.origin(index):
            raise NotFound("no key has this text")
        return self.writer.read(lambda store: self.parts.keys.view(store, index, self.parts.now_s))

    def create_key(
        self,
        account: str,
        *,
        name: str = "",
        rate: Rate | None = None,
        budget_nanos: int = 0,
        budget_period: str = "",
        expires_s: int = 0,
        token_rate: Rate | None = None,
        models: tuple[str, ...] = (),
        identity: str = "",
    ) -> tuple[KeyView, str]:
        """A new key and its text, which is shown this once; or "" for a client certificate, which is the key by
        `identity`, a text of `fastgw.identities`. Raises NotFound, Conflict, Invalid."""
        terms = (account, name, rate, budget_nanos, budget_period, expires_s, token_rate, models, identity)
        number, text = self._call(lambda turn: self.key_jobs.create(turn, *terms))
        return self.key(id_of(number)), text

    def rotate_key(self, key_id: str, *, grace_s: int = 0) -> tuple[KeyView, str]:
        """A key in the place of another, with its terms and its budget; the old one ends after `grace_s`.

        Raises NotFound, ReadOnly, Conflict.
        """
        number, text = self._call(lambda turn: self.key_jobs.rotate(turn, key_id, grace_s))
        return self.key(id_of(number)), text

    def change_key(
        self,
        key_id: str,
        *,
        name: str | UnsetType = UNSET,
        rate: Rate | UnsetType | None = UNSET,
        budget_nanos: int | UnsetType = UNSET,
        budget_period: str | UnsetType = UNSET,
        expires_s: int | UnsetType = UNSET,
        token_rate: Rate | UnsetType | None = UNSET,
        models: tuple[str, ...] | UnsetType = UNSET,
    ) -> KeyView:
        """Change what is given; a rate of None is no limit of its own, no models are all. Raises NotFound, ReadOnly,
        Conflict, Invalid."""
        given = {"name": name, "rate": rate, "budget": budget_nanos, "period": budget_period, "expires_s": expires_s,
                 "token_rate": token_rate, "models": models}  # fmt: skip
        changes = {field: value for field, value in given.items() if value is not UNSET}
        self._call(lambda turn: self.key_jobs.change(turn, key_id, changes))
        return self.key(key_id)

    def revoke_key(self, key_id: str) -> KeyView:
        """Raises NotFound, ReadOnly."""
        self._call(lambda turn: self.key_jobs.revoke(turn, key_id))
        return self.key(key_id)

    # Tags

    def tags(self, account: str, after: str = "", limit: int = 100) -> list[TagView]:
        """Those that the account has, by name, beyond `after`. Raises NotFound."""
        limit = max(1, min(limit, PAGE_MAX))
        return self.writer.read(lambda store: self.parts.tags.page(store, account, after, limit, self.parts.now_s))

    def create_tag(
        self, account: str, name: str, *, budget_nanos: int = 0, budget_period: str = "", expires_s: int = 0
    ) -> TagView:
        """A new tag; one that was removed goes on with what its budget has used. Raises NotFound, Conflict, Invalid."""
        terms = (account, name, budget_nanos, budget_period, expires_s)
        self._call(lambda turn: self.parts.tags.create(turn, *terms))
        return self.writer.read(lambda store: self.parts.tags.view(store, account, name, self.parts.now_s))

    def remove_tag(self, account: str, name: str) -> None:
        """Raises NotFound, ReadOnly."""
        self._call(lambda turn: self.parts.tags.remove(turn, account, name))

    def want_tag(self, index: int, name: str) -> bool:
        """Whether the account at an index of the segment has that tag from now on, because a call has named it.

        Raises Invalid, LedgerUnavailable, Conflict: no room."""
        return self._call(lambda turn: self.parts.tags.want(turn, index, name))

    # Names, for whoever reads the segment

    def account_name(self, index: int) -> str:
        """Of the account at an index of the segment, "" for none."""
        with self.writer.lock:
            return self.parts.roster.names.get(index)

    def tag_name(self, index: int) -> str:
        """Of the tag at an index of the segment's keys, "" for none."""
        with self.writer.lock:
            return self.parts.keys.names.get(index)

    def key_id(self, index: int) -> str:
        """Of the key at an index of the segment, "" for none."""
        with self.writer.lock:
            return id_of(self.parts.keys.numbers[index]) if index < len(self.parts.keys.numbers) else ""

    # Proof

    def audit(self, log_costs: LogCosts | None = None) -> AuditReport:
        """Compare ledger, segment and, given its costs by account and those it dropped, the call log."""
        return Audit(self.parts).run(log_costs)

    def state(self) -> LedgerState:
        """How it is; never raises, for metrics."""
        writer = self.writer
        return LedgerState(
            lag_ms=writer.lag_ms,
            commits=writer.commits,
            stopped=writer.stopped,
            error=writer.error,
            entries=self.parts.entries.last,
            size_bytes=self.parts.store.size_bytes,
        )

    def _call(self, work: Callable[[Turn], T]) -> T:
        try:
            return self.writer.call(work)
        except SegmentError as error:
            raise Conflict(f"there is no room for it: {error}") from None


__all__ = ["Books", "LoadError"]

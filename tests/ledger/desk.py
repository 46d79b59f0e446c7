"""Puts books over a segment of their own, and does what supervisor and workers would."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from fastgw._segment import Segment, account_digest
from fastgw.ledger.books import Books
from fastgw.ledger.views import AuditReport
from fastgw.model import Account, Config, Key, Plan, Rate, Secret, Tag
from fastgw.settings import defaults

SECRET = bytes(range(32))
START_NS = 1_790_000_000_000_000_000  # 2026-09-21 14:13:20 UTC
SECOND = 1_000_000_000
DAY_S = 86_400


def an_account(name: str = "acme", balance: int = 0, credit: int = 0, **fields: Any) -> Account:
    return Account(name=name, balance_nanos=balance, credit_nanos=credit, **fields)


def a_key(text: str = "sk-acme-0001-abcdef", account: str = "acme", **fields: Any) -> Key:
    given: dict[str, Any] = {"name": "", "rate": None, "expires_s": 0, "revoked": False} | fields
    return Key(account=account, key=Secret(text), **given)


def a_config(
    accounts: Iterable[Account] = (), keys: Iterable[Key] = (), plans: Iterable[Plan] = (), tags: Iterable[Tag] = ()
) -> Config:
    return Config(defaults({}), (), (), tuple(accounts), tuple(keys), tuple(plans), tags=tuple(tags))


RATE = Rate(5, SECOND, 10)


class Desk:
    """Books in `folder`, the segment below them, and a clock that stands still."""

    def __init__(self, folder: Path, **capacities: int) -> None:
        self.state = folder / "state"
        self.state.mkdir(exist_ok=True)
        self.capacities = {"keys_max": 64, "accounts_max": 64, "routes_max": 4, "journal_records": 256} | capacities
        self.path = str(folder / "segment")
        self.now_ns = START_NS
        self.config = a_config()
        self.vfs: str | None = None
        self.at: Callable[[str], None] = lambda _: None
        self.books: Books
        self.segment: Segment

    # Life

    def start(self, config: Config | None = None, **declared: Any) -> "Desk":
        """Start a keeper over the segment that is there, or a new one, as after a boot."""
        self.config = config or (a_config(**declared) if declared else self.config)
        if os.path.exists(self.path):
            self.segment = Segment.open(self.path)
        else:
            self.segment = Segment.create(self.path, secret=SECRET, **self.capacities)
        self.books = Books(self.segment, str(self.state), lambda: self.now_ns, self.at, self.vfs)
        self.books.open()
        self.books.apply(self.config)
        self.turn()
        return self

    def apply(self, **declared: Any) -> None:
        """Load another configuration."""
        self.config = a_config(**declared)
        self.books.apply(self.config)
        self.turn()

    def stop(self) -> None:
        self.books.stop()

    def crash(self) -> None:
        """Kill -9 of the keeper: what is not committed is gone, the segment stays."""
        self.books.close()

    def restart(self) -> None:
        """Kill the keeper and start another."""
        self.crash()
        self.start()

    def reboot(self, clean: bool = False) -> None:
        """The machine starts anew: the segment is gone."""
        if clean:
            self.stop()
        else:
            self.crash()
        os.unlink(self.path)
        self.start()

    def turn(self) -> None:
        """One turn of the writer, and more while chores have something to do."""
        for _ in range(50):
            self.books.writer.wake.clear()
            self.books.writer.turn()
            if not self.books.writer.wake.is_set():
                return
        raise AssertionError("chores without end")

    def pass_s(self, seconds: int) -> None:
        """Let time pass, and take a turn."""
        self.now_ns += seconds * SECOND
        self.turn()

    @property
    def now_s(self) -> int:
        return self.now_ns // SECOND

    # What workers do

    def index(self, name: str = "acme") -> int:
        return self.segment.account_numbers()[account_digest(name)]

    def call(self, cost: int, name: str = "acme", worker: int = 0) -> bool:
        """One call that costs as much, if the account can pay for it."""
        index = self.index(name)
        if not self.segment.hold(worker, index, cost):
            return False
        self.segment.capture(worker, index, cost, cost)
        return True

    def money(self, name: str = "acme") -> dict[str, int]:
        return self.segment.account(self.index(name))

    # What is true

    def balance(self, name: str = "acme") -> int:
        return self.books.account(name).balance_nanos

    def kinds(self, name: str = "acme") -> list[tuple[str, int]]:
        """Kind and amount of every entry."""
        return [(entry.kind, entry.amount_nanos) for entry in self.books.entries(name, limit=1000)]

    def audit(self, *arguments: Any) -> AuditReport:
        return self.books.audit(*arguments)

    def __enter__(self) -> "Desk":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if hasattr(self, "books"):
            if kind is None and not self.books.writer.error:
                assert self.audit().differences == []
            self.books.writer.stop()
            self.books.close()

"""Decides whether the ledger, the segment and the call log say the same, to the nano."""

import time
from collections.abc import Callable, Mapping

from .accounts import SELECT, AccountRow
from .parts import Parts
from .store import Store
from .views import AuditReport, Difference
from .writer import Turn

LogCosts = Callable[[], tuple[Mapping[str, int], int]]

BATCH = 2000
TRIES = 5
PAUSE_S = 0.1
SUMS = (
    "SELECT a.name, a.balance, a.opened, a.spent, ifnull(sum(e.amount), 0),"
    " ifnull(sum(iif(e.kind = 'opening', e.amount, 0)), 0), -ifnull(sum(iif(e.kind = 'capture', e.amount, 0)), 0)"
    " FROM account a LEFT JOIN entry e ON e.account = a.id WHERE a.id > ? AND a.id <= ? GROUP BY a.id"
)
LOTS = (
    "SELECT a.name, sum(l.unspent), a.balance FROM lot l JOIN account a ON a.id = l.account WHERE l.unspent > 0"
    " AND l.account > ? AND l.account <= ? GROUP BY l.account HAVING sum(l.unspent) > a.balance"
)
CAPTURED = (
    "SELECT a.name, a.spent + ifnull(p.captured - p.entered, 0) FROM account a LEFT JOIN position p ON p.account = a.id"
    " WHERE a.spent > 0 OR p.captured > p.entered"
)
LAST = "SELECT ifnull(max(id), 0) FROM account"
TOTALS = (
    "SELECT (SELECT count(*) FROM account), (SELECT count(*) FROM entry),"
    " ifnull(sum(a.balance - ifnull(p.captured - p.entered, 0)), 0) FROM account a"
    " LEFT JOIN position p ON p.account = a.id"
)


class Audit:
    """One audit. It changes nothing but that captures are entered."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.differences: list[Difference] = []

    def run(self, log_costs: LogCosts | None) -> AuditReport:
        """Compare everything. `log_costs` gives the call log's costs by account, and the costs of rows it dropped."""
        last = self.parts.writer.read(lambda store: int(store.one(LAST)[0]))
        for start in range(0, last, BATCH):
            end = min(start + BATCH, last)
            self.parts.writer.call(lambda turn, start=start, end=end: self._segment(turn, start, end))  # type: ignore[misc]
            self.parts.writer.read(lambda store, start=start, end=end: self._sums(store, start, end))  # type: ignore[misc]
        logged, dropped = self._log(log_costs) if log_costs is not None else (None, 0)
        return self.parts.writer.read(lambda store: self._report(store, logged, dropped))

    def _say(self, account: str, what: str, expected: int, found: int) -> None:
        if expected != found:
            self.differences.append(Difference(account, what, expected, found))

    def _sums(self, store: Store, start: int, end: int) -> None:
        """A balance is the sum of entries."""
        for name, balance, opened, spent, entries, openings, captures in store.rows(SUMS, (start, end)):
            self._say(name, "balance: sum of entries, kept total", entries, balance)
            self._say(name, "granted by the file: sum of openings, kept total", openings, opened)
            self._say(name, "captured: sum of captures, kept total", captures, spent)
        for name, unspent, balance in store.rows(LOTS, (start, end)):
            self._say(name, "credit that expires, at most the balance", balance, unspent)

    def _segment(self, turn: Turn, start: int, end: int) -> None:
        """What the segment grants is what the ledger has; nobody holds or has spent more than there is."""
        for values in turn.store.rows(f"{SELECT} WHERE a.id > ? AND a.id <= ?", (start, end)):
            row = AccountRow(*values)
            index = self.parts.roster.index(row.id)
            if index < 0:
                continue
            money = self.parts.segment.account(index)
            self._say(row.name, "granted: ledger, segment", row.granted, money["granted"])
            self._say(row.name, "taken: ledger, segment", row.taken, money["taken"])
            if money["captured"] < row.captured:  # more is what this moment's calls have added
                self._say(row.name, "captured: ledger, segment", row.captured, money["captured"])

    def _captured(self) -> dict[str, int]:
        self.parts.writer.call(lambda _: None)  # folds what is captured now
        return self.parts.writer.read(lambda store: {str(name): int(nanos) for name, nanos in store.rows(CAPTURED)})

    def _log(self, log_costs: LogCosts) -> tuple[int, int]:
        """Every capture is in the call log, or in what it dropped; (the log's total, what it dropped).

        Calls go on meanwhile: the log is read between two readings of the ledger, and what lies between them is right.
        """
        found: list[Difference] = []
        logged = dropped = 0
        for attempt in range(TRIES):
            if attempt:
                time.sleep(PAUSE_S)
            before = self._captured()
            costs, dropped = log_costs()
            after = self._captured()
            logged = sum(costs.values())
            found = _unexplained(before, costs, after, dropped)
            if not found:
                break
        self.differences += found
        return logged, dropped

    def _report(self, store: Store, logged: int | None, dropped: int) -> AuditReport:
        accounts, entries, balance = store.one(TOTALS)
        losses, lost_at_s = store.one("SELECT losses, lost_at FROM state")
        captured = sum(nanos for _, nanos in store.rows(CAPTURED))
        return AuditReport(
            at_ns=self.parts.clock(),
            accounts=accounts,
            entries=entries,
            balance_nanos=balance,
            captured_nanos=captured,
            log_nanos=logged,
            dropped_nanos=dropped,
            losses=losses,
            lost_at_s=lost_at_s,
            differences=self.differences,
        )


def _unexplained(
    before: Mapping[str, int], costs: Mapping[str, int], after: Mapping[str, int], dropped: int
) -> list[Difference]:
    """Accounts whose log is not between two readings of the ledger; with dropped rows, less by what was dropped."""
    what = "captured: ledger, call log"
    found = []
    least = most = 0  # of what the log lacks of what the ledger has
    for name in sorted({*before, *costs, *after}):
        low, logged, high = before.get(name, 0), costs.get(name, 0), after.get(name, 0)
        least += low - logged
        most += high - logged
        if logged > high or (logged < low and not dropped):
            found.append(Difference(name, what, low if logged < low else high, logged))
    if dropped and not least <= dropped <= most:
        found.append(Difference("", "captured less logged: ledger, dropped rows of the call log", least, dropped))
    return found

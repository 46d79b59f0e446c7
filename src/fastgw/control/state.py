"""Decides what /v1/state and /v1/audit show: how each part of the gateway is, and if all its sums agree."""

from collections.abc import Mapping
from datetime import datetime

from litestar import Controller, get
from msgspec import Struct

from .. import __version__
from ..states import WorkerState
from . import ports
from .metrics import cpu_seconds
from .parameters import Services
from .problems import documented
from .written import Money, moment, moment_of_ns, money


class Worker(Struct, frozen=True):
    """`accepted` are client connections ever."""

    number: int
    pid: int
    state: str
    clients: int
    upstreams: int
    calls_in_flight: int
    accepted: int
    cpu_seconds: float


class Ledger(Struct, frozen=True):
    """`lag_ms`: how old what is not durable yet may be. Stopped: what costs money is refused, `error` says why."""

    lag_ms: int
    commits: int
    stopped: bool
    error: str
    entries: int
    size_bytes: int


class Difference(Struct, frozen=True):
    """Two numbers that must be equal and are not; `account` is "" for all together."""

    account: str
    what: str
    expected: str
    found: str


class Audit(Struct, frozen=True):
    """`captured` is what calls were charged, ever, by the ledger; `logged` the same by the call log.

    `dropped` is the cost of rows that the call log had to drop. `losses` counts segments that were gone before the
    ledger had all of them: at most the last 50 ms of captures each.
    """

    passed: bool
    at: datetime
    accounts: int
    entries: int
    balance: Money
    captured: Money
    logged: Money | None
    dropped: Money
    losses: int
    lost_at: datetime | None
    differences: list[Difference]


class CallLog(Struct, frozen=True):
    """`depth` finished calls are not fetched yet; dropped rows were charged all the same."""

    depth: int
    rows: int
    dropped_rows: int
    dropped_cost: Money
    lag_ms: int
    size_bytes: int
    error: str


class State(Struct, frozen=True):
    """`held` is what the calls in flight hold; `uncovered` what calls to models have cost, ever, that nobody paid."""

    version: str
    ready: bool
    workers: list[Worker]
    calls_in_flight: int
    held: Money
    uncovered: Money
    keys: int
    segment_bytes: int
    ledger: Ledger
    call_log: CallLog | None


class States(Controller):
    path = "/v1"
    tags = ("state",)

    @get("/state", sync_to_thread=True, summary="How the gateway is", responses=documented())
    def state(self, services: Services) -> State:
        """Workers, ledger, call log, and what calls in flight hold."""
        segment = services.segment
        rows = [segment.worker(number) for number in range(segment.worker_slots)]
        workers = [_worker(number, row) for number, row in enumerate(rows)]
        return State(
            version=__version__,
            ready=not unready(services),
            workers=workers,
            calls_in_flight=sum(worker.calls_in_flight for worker in workers),
            held=money(sum(row["held"] for row in rows)),
            uncovered=money(
                sum(counts[-1] for number in range(len(rows)) for counts in segment.model_counts(number).values())
            ),
            keys=segment.key_count,
            segment_bytes=segment.used_bytes,
            ledger=_ledger(services),
            call_log=_call_log(services),
        )

    @get("/audit", sync_to_thread=True, summary="Do ledger, segment and call log agree?",
         responses=documented("ledger_unavailable"))  # fmt: skip
    def audit(self, services: Services) -> Audit:
        """Sums everything up, to the nano. It may take seconds with millions of accounts; calls go on meanwhile."""
        log = services.call_log
        report = services.books.audit(None if log is None else lambda: _costs(log))
        return Audit(
            passed=not report.differences,
            at=moment_of_ns(report.at_ns),
            accounts=report.accounts,
            entries=report.entries,
            balance=money(report.balance_nanos),
            captured=money(report.captured_nanos),
            logged=None if report.log_nanos is None else money(report.log_nanos),
            dropped=money(report.dropped_nanos),
            losses=report.losses,
            lost_at=moment(report.lost_at_s),
            differences=[Difference(d.account, d.what, money(d.expected), money(d.found)) for d in report.differences],
        )


def unready(services: Services) -> str:
    """Why no traffic should be sent here, or nothing."""
    wanted = services.settings().config.server.workers
    segment = services.segment
    ready = sum(segment.worker(index)["state"] == WorkerState.READY for index in range(segment.worker_slots))
    return "" if ready >= wanted else f"{ready} of {wanted} workers are ready"


def _costs(log: ports.CallLog) -> tuple[Mapping[str, int], int]:
    """What calls cost by account, by the log as it is now, and what those cost that it had to drop."""
    log.flush()
    return log.costs(), log.state().dropped_cost_nanos


def _worker(number: int, row: dict[str, int]) -> Worker:
    return Worker(
        number=number,
        pid=row["pid"],
        state=WorkerState(row["state"]).name.lower(),
        clients=row["clients"],
        upstreams=row["upstreams"],
        calls_in_flight=row["exchanges"],
        accepted=row["accepted"],
        cpu_seconds=cpu_seconds(row["pid"]),
    )


def _ledger(services: Services) -> Ledger:
    state = services.books.state()
    return Ledger(state.lag_ms, state.commits, state.stopped, state.error, state.entries, state.size_bytes)


def _call_log(services: Services) -> CallLog | None:
    if services.call_log is None:
        return None
    state = services.call_log.state()
    dropped = money(state.dropped_cost_nanos)
    return CallLog(state.depth, state.rows, state.dropped_rows, dropped, state.lag_ms, state.bytes, state.error)

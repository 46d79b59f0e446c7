"""Books, a call log and a gate that keep everything in memory, and refuse what the real ones refuse."""

import itertools
import threading
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from fastgw.calllog.views import Call, CallFilter, Interval, LogState, Usage
from fastgw.control.ports import Costs
from fastgw.ledger import errors
from fastgw.ledger.views import (
    AccountView,
    AuditReport,
    Difference,
    EntryView,
    KeyView,
    LedgerState,
    MeterView,
    TagView,
)
from fastgw.model import (
    Account,
    Candidate,
    Config,
    Key,
    Model,
    Plan,
    Price,
    Provider,
    Rate,
    Route,
    Secret,
    Target,
    Upstream,
)
from fastgw.refusals import Refusal
from fastgw.settings import defaults

NOW_S = 1_790_000_000


def config(**settings: Any) -> Config:
    """Two routes, one plan, one account of the file."""
    server = msgspec.structs.replace(defaults({"HOME": "/nonexistent"}), workers=2, **settings)
    route = Route(
        name="api", path="/", hosts=(), methods=(), upstream="one", auth="key", price_nanos=1_000_000,
        rate=Rate(100, 10**9, 200), dialect="problem", forward_key=False, preserve_host=False,
        set_headers=(("authorization", "Bearer sk-provider-secret"),),
    )  # fmt: skip
    return Config(
        server=server,
        upstreams=(Upstream("one", (Target("127.0.0.1", 9001, "127.0.0.1:9001"),)),),
        routes=(
            route,
            msgspec.structs.replace(route, name="open", path="/open", auth="none", price_nanos=0, rate=None),
        ),
        accounts=(Account("filed", 5 * 10**9, 0),),
        keys=(Key("filed", Secret("sk-filed-0001"), "", None, 0, False),),
        plans=(
            Plan("pro", Rate(5_000, 3_600 * 10**9, 5_000), 1_000, 0, "Europe/Madrid", 10**9, (("api", 500_000),)),
            Plan("basic", prices=(("api", 500_000),)),
        ),
        providers=(Provider("one", "openai", "/v1", (Secret("sk-one-1"), Secret("sk-one-2"))),),
        models=(
            Model("fast", (Candidate("one", "m-1", Price(input=150_000_000, output=600_000_000)),)),
            Model("gone/m", (Candidate("gone", "m", Price(above_tokens=9, above=Price(input=1))),), listed=False),
        ),
    )


class Books:
    """The ledger's face, with the same refusals."""

    def __init__(self, declared: Config) -> None:
        self.plans = {plan.name for plan in declared.plans}
        self.lock = threading.RLock()
        self.numbers = itertools.count(1)
        self.book: dict[str, AccountView] = {}
        self.lines: list[EntryView] = []
        self.ring: dict[str, KeyView] = {}
        self.secrets: dict[str, str] = {}
        self.labels: dict[tuple[str, str], TagView] = {}
        self.answers: dict[str, tuple[object, EntryView]] = {}
        self.down = False
        self.differences: list[Difference] = []
        for account in declared.accounts:
            self._add(account.name, "file")
            self._enter(account.name, "opening", account.balance_nanos, "", "", 0)
        self.add_key("filed", "file", "sk-filed-0001")

    def _add(self, name: str, origin: str, **fields: Any) -> AccountView:
        view = AccountView(
            name=name, origin=origin, status="active", plan="", credit_nanos=0, expires_s=0, balance_nanos=0,
            held_nanos=0, available_nanos=0, quotas=[MeterView("day", 1_000, 7, 1, NOW_S + 3_600)], created_s=NOW_S,
        )  # fmt: skip
        self.book[name] = self._whole(msgspec.structs.replace(view, **fields))
        return self.book[name]

    @staticmethod
    def _whole(view: AccountView) -> AccountView:
        available = view.balance_nanos + view.credit_nanos - view.held_nanos
        return msgspec.structs.replace(view, available_nanos=available)

    def add_key(self, account: str, origin: str, secret: str, **fields: Any) -> KeyView:
        view = KeyView(
            id=f"key_{next(self.numbers):016x}", account=account, name="", hint=secret[-4:], origin=origin,
            status="active", rate=None, budget_nanos=0, budget_period="", budget_used_nanos=0, budget_resets_s=0,
            expires_s=0, created_s=NOW_S,
        )  # fmt: skip
        self.ring[view.id] = msgspec.structs.replace(view, **fields)
        self.secrets[secret] = view.id
        return self.ring[view.id]

    def _enter(self, name: str, kind: str, nanos: int, reference: str, note: str, expires_s: int) -> EntryView:
        at_ns = time.time_ns()
        entry = EntryView(len(self.lines) + 1, name, kind, nanos, at_ns, reference, note, expires_s)
        self.lines.append(entry)
        view = self.book[name]
        self.book[name] = self._whole(msgspec.structs.replace(view, balance_nanos=view.balance_nanos + nanos))
        return entry

    def _writable(self) -> None:
        if self.down:
            raise errors.LedgerUnavailable("The ledger cannot write: No space left on device.")

    # What the API calls

    def accounts(self, after: str = "", limit: int = 100) -> list[AccountView]:
        return [self.book[name] for name in sorted(self.book) if name > after][:limit]

    def account(self, name: str) -> AccountView:
        if name not in self.book:
            raise errors.NotFound(f'There is no account "{name}".')
        return self.book[name]

    def create_account(
        self, name: str, *, credit_nanos: int = 0, plan: str = "", expires_s: int = 0, suspended: bool = False
    ) -> AccountView:
        with self.lock:
            self._writable()
            if name in self.book:
                raise errors.Conflict(f'There is an account "{name}" already.')
            self._check_plan(plan)
            status = "suspended" if suspended else "active"
            return self._add(name, "api", credit_nanos=credit_nanos, plan=plan, expires_s=expires_s, status=status)

    def _check_plan(self, plan: str) -> None:
        if plan and plan not in self.plans:
            raise errors.Invalid(f'There is no plan "{plan}".')

    def change_account(
        self,
        name: str,
        *,
        credit_nanos: int | None = None,
        plan: str | None = None,
        expires_s: int | None = None,
        suspended: bool | None = None,
    ) -> AccountView:
        with self.lock:
            self._writable()
            view = self.account(name)
            if view.origin == "file":
                raise errors.ReadOnly(f'The account "{name}" is declared in the file; change it there.')
            self._check_plan(plan or "")
            status = None if suspended is None else "suspended" if suspended else "active"
            given = {"credit_nanos": credit_nanos, "plan": plan, "expires_s": expires_s, "status": status}
            changes = {name: value for name, value in given.items() if value is not None}
            self.book[name] = self._whole(msgspec.structs.replace(view, **changes))
            return self.book[name]

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
        asked = ("topup", name, amount_nanos, reference, note, expires_s)
        return self._once(idempotency_key, asked)

    def adjust(
        self, name: str, amount_nanos: int, *, note: str, reference: str = "", idempotency_key: str = ""
    ) -> EntryView:
        return self._once(idempotency_key, ("adjustment", name, amount_nanos, reference, note, 0))

    def _once(self, key: str, asked: tuple[str, str, int, str, str, int]) -> EntryView:
        with self.lock:
            self._writable()
            if key in self.answers:
                before, answer = self.answers[key]
                if before != asked:
                    raise errors.IdempotencyMismatch("This Idempotency-Key came with another request before.")
                return answer
            kind, name, nanos, reference, note, expires_s = asked
            view = self.account(name)
            if nanos < -view.available_nanos:
                raise errors.Insufficient("More was to be taken than is available.", view.available_nanos)
            if view.balance_nanos + nanos > 9 * 10**18:
                raise errors.Invalid("The balance would be more than an account can hold.")
            entry = self._enter(name, kind, nanos, reference, note, expires_s)
            if key:
                self.answers[key] = (asked, entry)
            return entry

    def entries(self, name: str, after: int = 0, limit: int = 100) -> list[EntryView]:
        self.account(name)
        return [line for line in self.lines if line.account == name and line.id > after][:limit]

    def keys(self, account: str = "", after: str = "", limit: int = 100) -> list[KeyView]:
        if account:
            self.account(account)
        found = (self.ring[id] for id in sorted(self.ring) if id > after)
        return [view for view in found if not account or view.account == account][:limit]

    def key(self, id: str) -> KeyView:
        if id not in self.ring:
            raise errors.NotFound(f"There is no key {id}.")
        return self.ring[id]

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
        with self.lock:
            self._writable()
            self.account(account)
            secret = identity or f"sk-made-{next(self.numbers):08d}"
            view = self.add_key(
                account, "api", secret, name=name, rate=rate, budget_nanos=budget_nanos, budget_period=budget_period,
                expires_s=expires_s, token_rate=token_rate, models=models,
            )  # fmt: skip
            return view, "" if identity else secret

    def tags(self, account: str, after: str = "", limit: int = 100) -> list[TagView]:
        self.account(account)
        return sorted((tag for (owner, name), tag in self.labels.items() if owner == account and name > after),
                      key=lambda tag: tag.name)[:limit]  # fmt: skip

    def create_tag(
        self, account: str, name: str, *, budget_nanos: int = 0, budget_period: str = "", expires_s: int = 0
    ) -> TagView:
        with self.lock:
            self._writable()
            self.account(account)
            if (account, name) in self.labels:
                raise errors.Conflict(f"There is a tag {name} already.")
            terms = (budget_nanos, budget_period, 0, 0, 0, expires_s, NOW_S)
            self.labels[account, name] = TagView(account, name, "api", "active", *terms)
            return self.labels[account, name]

    def remove_tag(self, account: str, name: str) -> None:
        with self.lock:
            self._writable()
            self.account(account)
            if self.labels.pop((account, name), None) is None:
                raise errors.NotFound(f"There is no tag {name}.")

    def _own(self, id: str) -> KeyView:
        self._writable()
        view = self.key(id)
        if view.origin == "file":
            raise errors.ReadOnly(f"The key {id} is declared in the file; change it there.")
        return view

    def change_key(self, id: str, **changes: Any) -> KeyView:
        with self.lock:
            self.ring[id] = msgspec.structs.replace(self._own(id), **changes)
            return self.ring[id]

    def rotate_key(self, id: str, *, grace_s: int = 0) -> tuple[KeyView, str]:
        with self.lock:
            view = self._own(id)
            if view.status != "active":
                raise errors.Conflict(f"The key {id} is {view.status}.")
            secret = f"sk-made-{next(self.numbers):08d}"
            after = {"expires_s": NOW_S + grace_s} if grace_s else {"status": "revoked"}
            self.ring[id] = msgspec.structs.replace(view, **after)
            return self.add_key(view.account, "api", secret, name=view.name, rate=view.rate), secret

    def revoke_key(self, id: str) -> KeyView:
        with self.lock:
            self.ring[id] = msgspec.structs.replace(self._own(id), status="revoked")
            return self.ring[id]

    def find_key(self, presented: str) -> KeyView:
        if presented not in self.secrets:
            raise errors.NotFound("No key is like the one presented.")
        return self.ring[self.secrets[presented]]

    def key_index(self, id: str) -> int:
        return list(self.ring).index(id)

    def audit(self, log_costs: Costs | None = None, /) -> AuditReport:
        balance = sum(line.amount_nanos for line in self.lines)
        costs, dropped = ({}, 0) if log_costs is None else log_costs()
        logged = None if log_costs is None else sum(costs.values())
        return AuditReport(
            time.time_ns(), len(self.book), len(self.lines), balance, 0, logged, dropped, 0, 0, self.differences
        )

    def state(self) -> LedgerState:
        return LedgerState(12, 34, self.down, "No space left on device" if self.down else "", len(self.lines), 8_192)


class Gate:
    """Admits, until `refusal` says otherwise."""

    def __init__(self) -> None:
        self.refusal: Mapping[str, Any] = {}
        self.asked: list[tuple[int, int]] = []

    def match(self, method: str, host: str, path: str) -> int:
        return 1 if path.startswith("/open") else 0 if host == "localhost" and method != "DELETE" else -1

    def quote(self, route_index: int, key_index: int) -> Mapping[str, Any]:
        self.asked.append((route_index, key_index))
        return {"price": 1_000_000, "verdict": Refusal.ADMITTED, "wait_ns": 0, **self.refusal}


class CallLog:
    """A few calls, found by what the filter says of account and code."""

    def __init__(self) -> None:
        self.log = [
            call(position=1, account="filed", verdict="admitted", cost_nanos=1_000_000, flags=1),
            call(position=2, account="filed", verdict="insufficient_balance", status=402),
            call(position=3, account="acme", verdict="admitted", cost_nanos=500_000, flags=1),
        ]
        self.asked: list[CallFilter] = []

    def state(self) -> LogState:
        return LogState(
            rows=len(self.log), waiting=1, depth=4, dropped_rows=2, dropped_cost_nanos=2_000_000, lag_ms=40,
            bytes=65_536, files=1, interruptions=0, lines_dropped=0, error="",
        )  # fmt: skip

    def flush(self) -> bool:
        return True

    def costs(self) -> Mapping[str, int]:
        return {"filed": 1_000_000, "acme": 500_000}

    def _matching(self, wanted: CallFilter | None) -> list[Call]:
        wanted = wanted or CallFilter()
        self.asked.append(wanted)
        return [call for call in self.log if wanted.account in ("", call.account) and wanted.code in ("", call.verdict)]

    def calls(self, wanted: CallFilter | None = None, *, after: int | None = None, limit: int = 100) -> list[Call]:
        found = self._matching(wanted)
        if after is not None:
            return [call for call in found if call.position > after][:limit]
        return found[::-1][:limit]

    def usage(
        self, group_by: str = "", *, wanted: CallFilter | None = None, interval: Interval = "", limit: int = 1_000
    ) -> list[Usage]:
        rows = []
        found = self._matching(wanted)
        groups = [{"key": "key_id", "code": "verdict"}.get(name, name) for name in filter(None, group_by.split(","))]
        names = {call: ",".join(getattr(call, group) for group in groups) for call in found}
        start = "2026-11-20T14:00:00Z" if interval else ""
        for name in sorted(set(names.values())):
            calls = [call for call in found if names[call] == name]
            cost = sum(call.cost_nanos for call in calls)
            charged = sum(call.flags for call in calls)
            rows.append(Usage(name, start, len(calls), charged, 0, cost, 0, 0, 0, 0, 9, 99, 150, 900))
        return rows[:limit]


def call(**fields: Any) -> Call:
    """One of the log."""
    usual = Call(
        position=0, time="2026-11-20T14:00:00.123456Z", request_id="0123456789abcdef0123456789abcdef", account="",
        key_id="key_0000000000000001", route="api", target="127.0.0.1:9001", model="", tag="", method="POST",
        path="/v1/x", status=200, verdict="admitted", cost_nanos=0, tokens_in=0, tokens_out=0, tokens_cached=0,
        tokens_reasoning=0, bytes_in=10, bytes_out=20, decided_us=4, first_byte_us=900, total_us=1_000,
        address="127.0.0.1", flags=0,
    )  # fmt: skip
    return msgspec.structs.replace(usual, **fields)

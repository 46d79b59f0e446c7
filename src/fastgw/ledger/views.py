"""Decides what the books show of accounts, keys, entries and themselves. Money in nanos, `_s` Unix seconds, 0 never."""

from msgspec import Struct

from ..model import Rate


class MeterView(Struct, frozen=True):
    """A quota: `kind` is "day" or "month", in calls, or "day_tokens" or "month_tokens"; `resets_s` the end of the
    window."""

    kind: str
    limit: int
    used: int
    held: int
    resets_s: int


class AccountView(Struct, frozen=True):
    """`origin` is "file" or "api", `status` "active", "suspended" or "closed" (no longer declared).

    `available_nanos` = balance + credit − held: what a call may cost now. A tag that is not known yet is given
    `tag_budget_nanos`, or refused where that is 0.
    """

    name: str
    origin: str
    status: str
    plan: str
    credit_nanos: int
    expires_s: int
    balance_nanos: int
    held_nanos: int
    available_nanos: int
    quotas: list[MeterView]
    created_s: int
    tag_budget_nanos: int = 0
    tag_budget_period: str = ""
    tags_max: int = 0


class EntryView(Struct, frozen=True):
    """`kind` is "topup", "capture", "adjustment", "allowance", "expiry" or "opening"; the amount has a sign."""

    id: int
    account: str
    kind: str
    amount_nanos: int
    at_ns: int
    reference: str
    note: str
    expires_s: int


class KeyView(Struct, frozen=True):
    """`hint` is the key's last characters, `status` "active", "expired" or "revoked", `budget_period` "" for a budget
    that is given once."""

    id: str
    account: str
    name: str
    hint: str
    origin: str
    status: str
    rate: Rate | None
    budget_nanos: int
    budget_period: str
    budget_used_nanos: int
    budget_resets_s: int
    expires_s: int
    created_s: int
    token_rate: Rate | None = None
    models: tuple[str, ...] = ()


class TagView(Struct, frozen=True):
    """`origin` is "file", "api" or "call" (made at its first use), `status` "active", "expired" or "removed"; a budget
    of 0 is none, `budget_period` "" one that is given once."""

    account: str
    name: str
    origin: str
    status: str
    budget_nanos: int
    budget_period: str
    budget_used_nanos: int
    budget_held_nanos: int
    budget_resets_s: int
    expires_s: int
    created_s: int


class LedgerState(Struct, frozen=True):
    """`lag_ms`: how old what is not yet durable may be; `stopped`: prepaid calls are refused, `error` says why."""

    lag_ms: int
    commits: int
    stopped: bool
    error: str
    entries: int
    size_bytes: int


class Difference(Struct, frozen=True):
    """Two numbers that must be equal and are not: `what` says of what, `account` is "" for all together."""

    account: str
    what: str
    expected: int
    found: int


class AuditReport(Struct, frozen=True):
    """Captured: ever, by the ledger. Log and dropped are None and 0 without a call log.

    `losses` segments were gone (reboot, removed) before the ledger had all of their captures, the last at `lost_at_s`.
    """

    at_ns: int
    accounts: int
    entries: int
    balance_nanos: int
    captured_nanos: int
    log_nanos: int | None
    dropped_nanos: int
    losses: int
    lost_at_s: int
    differences: list[Difference]

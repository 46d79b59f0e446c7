"""Decides what the admin API shows of accounts, entries and keys: views of the ledger as JSON."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from ..ledger.views import AccountView, EntryView, KeyView, MeterView, TagView
from .written import Money, moment, moment_of_ns, money, rate_text

Cursor = Annotated[str | None, Meta(description="Give it as `cursor` to go on; null at the end")]


class Quota(Struct, frozen=True):
    """Calls, or tokens of models, of a calendar window: `used` are done, `held` in flight."""

    window: str
    unit: str
    limit: int
    used: int
    held: int
    resets_at: datetime | None


class Account(Struct, frozen=True):
    """Available is balance + credit − held: what the next call may cost."""

    name: str
    origin: str
    status: str
    plan: str
    credit: Money
    expires: datetime | None
    balance: Money
    held: Money
    available: Money
    quotas: list[Quota]
    created: datetime | None
    tag_budget: Money | None
    tag_budget_period: str
    tags_max: int


class AccountPage(Struct, frozen=True):
    items: list[Account]
    next: Cursor


class Entry(Struct, frozen=True):
    """One line of the ledger; a balance is the sum of them."""

    id: int
    account: str
    kind: str
    amount: Money
    at: datetime
    reference: str
    note: str
    expires: datetime | None


class EntryPage(Struct, frozen=True):
    items: list[Entry]
    next: Cursor


class Key(Struct, frozen=True):
    """A key without its secret, of which `hint` is the end. A budget without a period is given once."""

    id: str
    account: str
    name: str
    hint: str
    origin: str
    status: str
    rate: str | None
    burst: int | None
    budget: Money | None
    budget_period: str
    budget_used: Money
    budget_resets: datetime | None
    expires: datetime | None
    created: datetime | None
    token_rate: str | None
    models: tuple[str, ...] | None


class Tag(Struct, frozen=True):
    """What calls are counted by besides; `left` is what calls with it may still spend now."""

    account: str
    name: str
    origin: str
    status: str
    budget: Money | None
    budget_period: str
    budget_used: Money
    left: Money | None
    budget_resets: datetime | None
    expires: datetime | None
    created: datetime | None


class TagPage(Struct, frozen=True):
    items: list[Tag]
    next: Cursor


class Target(Struct, frozen=True):
    """A target as it is named; `problem` says why nothing, or nothing new, is known of where it is."""

    name: str
    url: str
    origin: str
    weight: int
    drained: bool
    expand: bool
    problem: str


class Server(Struct, frozen=True):
    """A server that calls are sent to. `state` is "up", "drained", "down" by checks, for that `reason`, or "ejected" by
    a worker for calls that failed. The counts are over all workers, and since the machine has started."""

    name: str
    target: str
    addresses: list[str]
    weight: int
    state: str
    reason: str
    checked: datetime | None
    in_flight: int
    connections: int
    calls: int
    failures: int
    retries: int
    ejections: int


class Upstream(Struct, frozen=True):
    """A group of servers; `problem` is what is wrong with its `targets_file`."""

    name: str
    balance: str
    targets_file: str
    problem: str
    targets: list[Target]
    servers: list[Server]


class UpstreamList(Struct, frozen=True):
    items: list[Upstream]


class KeyPage(Struct, frozen=True):
    items: list[Key]
    next: Cursor


class KeyWithSecret(Struct, frozen=True):
    """`secret` is what the caller presents, "" of a client certificate. It is shown this once and kept nowhere."""

    secret: str
    key: Key


def account(view: AccountView) -> Account:
    return Account(
        name=view.name,
        origin=view.origin,
        status=view.status,
        plan=view.plan,
        credit=money(view.credit_nanos),
        expires=moment(view.expires_s),
        balance=money(view.balance_nanos),
        held=money(view.held_nanos),
        available=money(view.available_nanos),
        quotas=[quota(meter) for meter in view.quotas],
        created=moment(view.created_s),
        tag_budget=money(view.tag_budget_nanos) if view.tag_budget_nanos else None,
        tag_budget_period=view.tag_budget_period,
        tags_max=view.tags_max,
    )


def tag(view: TagView) -> Tag:
    left = view.budget_nanos - view.budget_used_nanos - view.budget_held_nanos
    return Tag(
        account=view.account,
        name=view.name,
        origin=view.origin,
        status=view.status,
        budget=money(view.budget_nanos) if view.budget_nanos else None,
        budget_period=view.budget_period,
        budget_used=money(view.budget_used_nanos),
        left=money(left) if view.budget_nanos else None,
        budget_resets=moment(view.budget_resets_s),
        expires=moment(view.expires_s),
        created=moment(view.created_s),
    )


def quota(view: MeterView) -> Quota:
    window, _, unit = view.kind.partition("_")
    return Quota(window, unit or "calls", view.limit, view.used, view.held, moment(view.resets_s))


def entry(view: EntryView) -> Entry:
    return Entry(
        id=view.id,
        account=view.account,
        kind=view.kind,
        amount=money(view.amount_nanos),
        at=moment_of_ns(view.at_ns),
        reference=view.reference,
        note=view.note,
        expires=moment(view.expires_s),
    )


def key(view: KeyView) -> Key:
    return Key(
        id=view.id,
        account=view.account,
        name=view.name,
        hint=view.hint,
        origin=view.origin,
        status=view.status,
        rate=None if view.rate is None else rate_text(view.rate),
        burst=None if view.rate is None else view.rate.burst,
        budget=money(view.budget_nanos) if view.budget_nanos else None,
        budget_period=view.budget_period,
        budget_used=money(view.budget_used_nanos),
        budget_resets=moment(view.budget_resets_s),
        expires=moment(view.expires_s),
        created=moment(view.created_s),
        token_rate=None if view.token_rate is None else rate_text(view.token_rate),
        models=view.models or None,
    )

"""Decides how `fastgw topup`, `adjust`, `balance` and `entries` read and what they ask: money, exactly once."""

import re
from collections.abc import Mapping
from typing import Any

import click

from .accounts import path_of
from .client import Client
from .options import ACCOUNT, END, POSITIVE_MONEY, SIGNED_MONEY, AdminCommand, Checked, examples, given, limit_option
from .outcome import OK
from .show import Column, field, moment, print_facts, print_json, print_table

_KEY = re.compile(r"[!#-\[\]-~]{1,255}")
_ACCOUNT = click.Argument(["account"], type=ACCOUNT)


def _idempotency_key(value: str) -> str:
    if _KEY.fullmatch(value):
        return value
    raise ValueError('must be 1 to 255 printable ASCII characters without space, " and \\')


def _once_options(reference: str, why: bool) -> list[click.Parameter]:
    note = "Why, for people." if why else "For people."
    return [
        click.Option(["--reference"], metavar="TEXT", help=f"For programs: {reference}"),
        click.Option(["--note"], metavar="TEXT", required=why, help=note),
        click.Option(
            ["--idempotency-key"], type=Checked("key", _idempotency_key), metavar="KEY",
            help="Only once with this key, however often the command is run. [default: a new one]",
        ),
    ]  # fmt: skip


def _enter(client: Client, path: str, body: Mapping[str, Any], idempotency_key: str | None, as_json: bool) -> int:
    entry = client.post_once(path, body, idempotency_key)
    if as_json:
        print_json(entry)
        return OK
    print_facts([(name, entry.get(name)) for name in ("id", "account", "kind", "amount", "reference", "note")])
    if entry.get("expires"):
        print_facts([("expires", moment(entry["expires"]))])
    return OK


def _topup(
    client: Client,
    as_json: bool,
    account: str,
    amount: str,
    expires: str | None,
    reference: str | None,
    note: str | None,
    idempotency_key: str | None,
) -> int:
    body = given(amount=amount, expires=expires, reference=reference, note=note)
    return _enter(client, f"{path_of(account)}/topups", body, idempotency_key, as_json)


def _adjust(
    client: Client,
    as_json: bool,
    account: str,
    amount: str,
    reference: str | None,
    note: str | None,
    idempotency_key: str | None,
) -> int:
    body = given(amount=amount, reference=reference, note=note)
    return _enter(client, f"{path_of(account)}/adjustments", body, idempotency_key, as_json)


def _balance(client: Client, as_json: bool, accounts: tuple[str, ...]) -> int:
    found = [client.get(path_of(name)) for name in accounts] or list(client.items("/v1/accounts", 0))
    columns = ("balance", "held", "credit", "available")
    if as_json:
        print_json([{name: account.get(name) for name in ("name", *columns)} for account in found])
    else:
        print_table(found, [field("name"), *(field(name, right=True) for name in columns)], "There are no accounts.")
    return OK


def _entries(client: Client, as_json: bool, account: str, after: int, limit: int) -> int:
    entries = list(client.items(f"{path_of(account)}/entries", limit, given(cursor=after or None)))
    if as_json:
        print_json(entries)
        return OK
    columns = (
        field("id", right=True),
        Column("at", lambda item: moment(item.get("at"))),
        field("kind"),
        field("amount", right=True),
        field("reference"),
        field("note"),
    )
    print_table(entries, columns, f"There are no entries of {account}" + (f" after {after}." if after else "."))
    if limit and len(entries) == limit:
        click.echo(f"There may be more: --after {entries[-1]['id']}, or -n 0 for all.", err=True)
    return OK


TOPUP = AdminCommand(
    "topup",
    callback=_topup,
    short_help="Add money to an account.",
    help="Add money to an account. It is on disk when the command ends with 0, and can be spent at once. A lost "
    "connection is tried again, and never tops up twice.",
    params=[
        _ACCOUNT,
        click.Argument(["amount"], type=POSITIVE_MONEY),
        click.Option(
            ["--expires"], type=END, metavar="MOMENT",
            help="What is left of it then is taken: 2027-01-31T00:00:00Z, a date (UTC), or from now like 30d.",
        ),
        *_once_options("an invoice, a payment.", why=False),
    ],
    epilog=examples(
        "fastgw topup acme 25.00 --reference invoice-17",
        'fastgw topup acme 5 --expires 30d --note "welcome credit"',
        "fastgw topup acme 25.00 --idempotency-key payment-8c41f",
    ),
)  # fmt: skip

ADJUST = AdminCommand(
    "adjust",
    callback=_adjust,
    short_help="Put a balance right by hand.",
    help="Add to a balance or, with a negative amount, take from it: at most what is available. The note says why.",
    params=[
        _ACCOUNT,
        click.Argument(["amount"], type=SIGNED_MONEY),
        *_once_options("a ticket.", why=True),
    ],
    epilog=examples(
        'fastgw adjust acme -1.50 --note "charged twice on 2026-11-02"', "fastgw adjust acme 0.25 --note gift"
    ),
)

BALANCE = AdminCommand(
    "balance",
    callback=_balance,
    short_help="What accounts have and can spend.",
    help="Show what accounts have. Available is balance + credit − held: what the next call may cost.",
    params=[click.Argument(["accounts"], type=ACCOUNT, nargs=-1, metavar="[ACCOUNT]...")],
    epilog=examples("fastgw balance", "fastgw balance acme", "fastgw balance acme --json | jq -r '.[0].available'"),
)

ENTRIES = AdminCommand(
    "entries",
    callback=_entries,
    short_help="The ledger of an account.",
    help="Show the entries of an account, oldest first: a balance is their sum. What calls cost is among them in sums "
    "(captures); each call is in `fastgw logs`.",
    params=[
        _ACCOUNT,
        click.Option(["--after"], type=click.IntRange(0), default=0, metavar="ID", help="Only those after this one."),
        limit_option(100, "entries"),
    ],
    epilog=examples("fastgw entries acme", "fastgw entries acme -n 0 --json", "fastgw entries acme --after 1200"),
)

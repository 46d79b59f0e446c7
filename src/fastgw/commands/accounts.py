"""Decides how `fastgw account` reads and what it asks: who pays, on which plan, and until when."""

from collections.abc import Iterable, Mapping
from typing import Any

import click

from .client import Client
from .options import ACCOUNT, END, MONEY, NEVER, AdminCommand, OrWord, examples, given, limit_option
from .outcome import OK
from .show import Column, field, is_terminal, moment, print_facts, print_json, print_table

_COLUMNS = (
    field("name"),
    field("status"),
    field("plan"),
    field("balance", right=True),
    field("held", right=True),
    field("available", right=True),
    field("credit", right=True),
    Column("expires", lambda item: moment(item.get("expires"))),
    field("origin"),
)
_NAME = click.Argument(["name"], type=ACCOUNT, metavar="ACCOUNT")
_EXPIRES_HELP = "End of its subscription: 2027-01-31T00:00:00Z, a date (UTC), or from now like 30d."


def path_of(name: str) -> str:
    return f"/v1/accounts/{name}"


def facts_of(account: Mapping[str, Any]) -> Iterable[tuple[str, object]]:
    """One account, for people."""
    for name in ("name", "status", "plan", "balance", "held", "credit", "available"):
        yield name, account.get(name)
    for quota in account.get("quotas") or ():
        in_flight = f", {quota['held']:,} in flight" if quota.get("held") else ""
        until = f"; resets {moment(quota['resets_at'])}" if quota.get("resets_at") else ""
        yield (
            f"{quota.get('unit', 'calls')} a {quota['window']}",
            f"{quota['used']:,} of {quota['limit']:,}{in_flight}{until}",
        )
    if account.get("tag_budget"):
        per = f" a {account['tag_budget_period']}" if account.get("tag_budget_period") else ""
        yield "of each tag", f"{account['tag_budget']}{per}, at most {account.get('tags_max'):,} tags"
    yield "expires", moment(account.get("expires"))
    yield "origin", account.get("origin")
    yield "created", moment(account.get("created"))


def show_account(account: Mapping[str, Any], as_json: bool) -> int:
    if as_json:
        print_json(account)
    else:
        print_facts(facts_of(account))
    return OK


def _list(client: Client, as_json: bool, limit: int) -> int:
    accounts = list(client.items("/v1/accounts", limit))
    if as_json:
        print_json(accounts)
    else:
        print_table(accounts, _COLUMNS, "There are no accounts: declare them in the file, or `fastgw account create`.")
        if limit and len(accounts) == limit and is_terminal():
            click.echo(f"The first {limit}; `-n 0` shows all.", err=True)
    return OK


def _show(client: Client, as_json: bool, name: str) -> int:
    return show_account(client.get(path_of(name)), as_json)


def _create(
    client: Client, as_json: bool, name: str, credit: str | None, plan: str | None, expires: str | None, suspended: bool
) -> int:
    body = given(name=name, credit=credit, plan=plan, expires=expires, suspended=suspended or None)
    return show_account(client.post("/v1/accounts", body), as_json)


def _change(client: Client, as_json: bool, name: str, credit: str | None, plan: str | None, expires: str | None) -> int:
    body: dict[str, Any] = given(credit=credit, plan=plan, expires=expires)
    if not body:
        raise click.UsageError("Nothing to change: give --credit, --plan or --expires.")
    if expires == NEVER:
        body["expires"] = None
    return show_account(client.patch(path_of(name), body), as_json)


def _suspend(client: Client, as_json: bool, name: str) -> int:
    return show_account(client.patch(path_of(name), {"suspended": True}), as_json)


def _resume(client: Client, as_json: bool, name: str) -> int:
    return show_account(client.patch(path_of(name), {"suspended": False}), as_json)


def _credit() -> click.Option:
    return click.Option(["--credit"], type=MONEY, metavar="AMOUNT", help="What it may spend beyond its balance.")


COMMAND = click.Group(
    "account",
    short_help="List, create, change and suspend accounts.",
    help="Accounts pay for calls. Those of the file are changed in the file; money comes by `fastgw topup`.",
    commands=[
        AdminCommand(
            "list",
            callback=_list,
            short_help="List accounts.",
            help="List accounts by name, with what each can spend now.",
            params=[limit_option(100, "accounts")],
            epilog=examples("fastgw account list", "fastgw account list --json -n 0 | jq -r '.[] | .name'"),
        ),
        AdminCommand(
            "show",
            callback=_show,
            short_help="Show one account.",
            help="Show one account: its money, its quotas, its end.",
            params=[_NAME],
            epilog=examples("fastgw account show acme"),
        ),
        AdminCommand(
            "create",
            callback=_create,
            short_help="Create an account.",
            help="Create an account, without money. It lives in the ledger, beside those of the file.",
            params=[
                _NAME,
                _credit(),
                click.Option(["--plan"], metavar="PLAN", help="A plan of the file."),
                click.Option(["--expires"], type=END, metavar="MOMENT", help=_EXPIRES_HELP),
                click.Option(["--suspended"], is_flag=True, help="It may not call until it is resumed."),
            ],
            epilog=examples(
                "fastgw account create acme --plan gold",
                "fastgw topup acme 25.00 --reference invoice-17",
                "fastgw key create acme --name ci",
            ),
        ),
        AdminCommand(
            "change",
            callback=_change,
            short_help="Change plan, credit or end.",
            help="Change what is said, leave the rest; in force for the next call.",
            params=[
                _NAME,
                _credit(),
                click.Option(["--plan"], metavar="PLAN", help='A plan of the file, "" for none.'),
                click.Option(
                    ["--expires"], type=OrWord(END, NEVER), metavar="MOMENT", help=f'{_EXPIRES_HELP} Or "never".'
                ),
            ],
            epilog=examples(
                "fastgw account change acme --plan silver --credit 0",
                "fastgw account change acme --expires 30d",
                "fastgw account change acme --expires never",
            ),
        ),
        AdminCommand(
            "suspend",
            callback=_suspend,
            short_help="Refuse an account's calls.",
            help="Refuse its calls with 403 from now on; its money and keys stay.",
            params=[_NAME],
            epilog=examples("fastgw account suspend acme"),
        ),
        AdminCommand(
            "resume",
            callback=_resume,
            short_help="Admit a suspended account again.",
            help="Admit a suspended account's calls again.",
            params=[_NAME],
            epilog=examples("fastgw account resume acme"),
        ),
    ],
)

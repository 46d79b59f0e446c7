"""Decides how `fastgw tag` reads and what it asks: what calls are counted by besides, for a run or a customer."""

import re
from collections.abc import Mapping
from typing import Any

import click

from .accounts import path_of
from .client import Client
from .options import ACCOUNT, END, POSITIVE_MONEY, AdminCommand, Checked, examples, given, limit_option
from .outcome import OK
from .show import Column, field, is_terminal, moment, print_facts, print_json, print_table

_FORM = re.compile("[A-Za-z0-9._:-]{1,64}")


def _tag(value: str) -> str:
    if _FORM.fullmatch(value):
        return value
    raise ValueError("must be 1 to 64 of A-Z a-z 0-9 . _ : -")


_ACCOUNT = click.Argument(["account"], type=ACCOUNT, metavar="ACCOUNT")
_TAG = click.Argument(["name"], type=Checked("tag", _tag), metavar="TAG")


def _budget(tag: Mapping[str, Any]) -> str | None:
    if tag.get("budget") is None:
        return None
    return f"{tag['budget']} a {tag['budget_period']}" if tag.get("budget_period") else str(tag["budget"])


_COLUMNS = (
    field("name"),
    field("status"),
    Column("budget", _budget),
    field("budget_used", right=True),
    field("left", right=True),
    Column("expires", lambda tag: moment(tag.get("expires"))),
    field("origin"),
)


def _list(client: Client, as_json: bool, account: str, limit: int) -> int:
    tags = list(client.items(f"{path_of(account)}/tags", limit))
    if as_json:
        print_json(tags)
    else:
        print_table(tags, _COLUMNS, "There are no tags: declare them in the file, or `fastgw tag create ACCOUNT NAME`.")
        if limit and len(tags) == limit and is_terminal():
            click.echo(f"The first {limit}; `-n 0` shows all.", err=True)
    return OK


def _create(client: Client, as_json: bool, account: str, name: str, **fields: Any) -> int:
    tag = client.post(f"{path_of(account)}/tags", {"name": name, **given(**fields)})
    if as_json:
        print_json(tag)
    else:
        print_facts((column.heading, column.cell(tag)) for column in _COLUMNS)
    return OK


def _remove(client: Client, as_json: bool, account: str, name: str) -> int:
    client.delete(f"{path_of(account)}/tags/{name}")
    if as_json:
        print_json({"account": account, "removed": name})
    else:
        click.echo(f'Tag "{name}" of {account} is removed: calls that name it are refused.')
    return OK


COMMAND = click.Group(
    "tag",
    short_help="List, create and remove tags.",
    help="A tag is what calls of an account name in X-Fastgw-Tag, for a run or a customer: counted by itself in "
    "`fastgw usage --by tag`, and limited by a budget of its own. Those of the file are changed in the file.",
    commands=[
        AdminCommand(
            "list",
            callback=_list,
            short_help="List an account's tags.",
            help="List the tags of an account, each with what is left of its budget.",
            params=[_ACCOUNT, limit_option(100, "tags")],
            epilog=examples("fastgw tag list acme"),
        ),
        AdminCommand(
            "create",
            callback=_create,
            short_help="Create a tag.",
            help="Create a tag of an account; calls may name it at once. One that was removed goes on with what its "
            "budget has used.",
            params=[
                _ACCOUNT,
                _TAG,
                click.Option(["--budget"], type=POSITIVE_MONEY, metavar="AMOUNT",
                             help="The most that calls with it may spend of the account."),
                click.Option(["--budget-period"], type=click.Choice(["day", "month"]),
                             help="The budget is anew every calendar day or month. [default: once]"),
                click.Option(["--expires"], type=END, metavar="MOMENT",
                             help="2027-01-31T00:00:00Z, a date (UTC), or from now like 30d."),
            ],
            epilog=examples("fastgw tag create acme run-17 --budget 5.00 --expires 30d"),
        ),
        AdminCommand(
            "remove",
            callback=_remove,
            short_help="Refuse a tag for good.",
            help="Refuse calls that name the tag from now on; calls in flight end as they would.",
            params=[_ACCOUNT, _TAG],
            epilog=examples("fastgw tag remove acme run-17"),
        ),
    ],
)  # fmt: skip

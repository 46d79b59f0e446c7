"""Decides how `fastgw key` reads and what it asks: what callers present, shown once and never again."""

import hashlib
import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from .. import units
from .client import Client
from .options import (
    ACCOUNT,
    DURATION,
    END,
    KEY_ID,
    NEVER,
    POSITIVE_MONEY,
    RATE,
    AdminCommand,
    OrWord,
    examples,
    given,
    limit_option,
)
from .outcome import OK
from .show import Column, field, is_terminal, moment, print_facts, print_json, print_table

_ID = click.Argument(["key_id"], type=KEY_ID, metavar="KEY_ID")
_NONE = "none"  # of a rate or a budget: take it away


class Names(click.ParamType[list[str]]):
    """Names and patterns, a comma between two."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        names = [name.strip() for name in value.split(",") if name.strip()]
        if not names:
            self.fail("at least one name, or '*' for all", param, ctx)
        return names


class Fingerprint(click.ParamType[str]):
    """The file of a certificate, as its fingerprint; of a chain, of its first one."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            text = Path(value).read_text(encoding="ascii", errors="replace")
        except OSError as error:
            self.fail(f"{value} cannot be read: {error.strerror}", param, ctx)
        _, mark, rest = text.partition(ssl.PEM_HEADER)
        first, end, _ = rest.partition(ssl.PEM_FOOTER)
        try:
            if not mark or not end:
                raise ValueError
            certificate = ssl.PEM_cert_to_DER_cert(mark + first + end)
        except ValueError:
            self.fail(f"{value} holds no certificate in PEM", param, ctx)
        return f"sha256:{hashlib.sha256(certificate).hexdigest()}"


def _path(key_id: str) -> str:
    return f"/v1/keys/{key_id}"


def _rate(key: Mapping[str, Any]) -> str | None:
    rate, burst = key.get("rate"), key.get("burst")
    if rate is None:
        return None
    return f"{rate}" if str(burst) == str(rate).partition("/")[0] else f"{rate} burst {burst}"


def _budget(key: Mapping[str, Any]) -> str | None:
    if key.get("budget") is None:
        return None
    per = f" a {key['budget_period']}" if key.get("budget_period") else ""
    return f"{key.get('budget_used')} of {key['budget']}{per}"


_COLUMNS = (
    field("id"),
    field("account"),
    field("name"),
    Column("ends in", lambda key: f"…{key['hint']}" if key.get("hint") else None),
    field("status"),
    Column("rate", _rate),
    field("token_rate"),
    Column("models", lambda key: ",".join(key.get("models") or ()) or None),
    Column("budget", _budget),
    Column("expires", lambda key: moment(key.get("expires"))),
    field("origin"),
)


def _facts(key: Mapping[str, Any]) -> Iterable[tuple[str, object]]:
    for column in _COLUMNS:
        yield column.heading, column.cell(key)
    yield "created", moment(key.get("created"))


def _show_key(key: Mapping[str, Any], as_json: bool) -> int:
    if as_json:
        print_json(key)
    else:
        print_facts(_facts(key))
    return OK


def _show_secret(answer: Mapping[str, Any], as_json: bool) -> int:
    """The secret alone goes to a pipe, so that a script can keep it; what people want to know goes to stderr."""
    if as_json:
        print_json(answer)
    elif not answer["secret"]:  # a certificate
        print_facts(_facts(answer["key"]))
    elif is_terminal():
        print_facts([("secret", answer["secret"]), *_facts(answer["key"])])
        click.echo("Keep the secret now: it is shown this once, and the gateway has only a digest of it.", err=True)
    else:
        print(answer["secret"])
        click.echo(f"{answer['key']['id']} of {answer['key']['account']}; the secret is shown this once", err=True)
    return OK


def _list(client: Client, as_json: bool, account: str | None, limit: int) -> int:
    keys = list(client.items("/v1/keys", limit, given(account=account)))
    if as_json:
        print_json(keys)
    else:
        print_table(keys, _COLUMNS, "There are no keys: declare them in the file, or `fastgw key create ACCOUNT`.")
        if limit and len(keys) == limit and is_terminal():
            click.echo(f"The first {limit}; `-n 0` shows all.", err=True)
    return OK


def _show(client: Client, as_json: bool, key_id: str) -> int:
    return _show_key(client.get(_path(key_id)), as_json)


def _create(client: Client, as_json: bool, account: str, **fields: Any) -> int:
    return _show_secret(client.post("/v1/keys", {"account": account, **given(**fields)}), as_json)


def _change(client: Client, as_json: bool, key_id: str, **fields: Any) -> int:
    body = given(**fields)
    if not body:
        raise click.UsageError("Nothing to change: give --name, --rate, --token-rate, --models, --budget or --expires.")
    for name in ("rate", "token_rate", "budget", "expires"):
        if body.get(name) in (_NONE, NEVER):
            body[name] = None
    if body.get("budget_period") == "once":
        body["budget_period"] = ""
    return _show_key(client.patch(_path(key_id), body), as_json)


def _rotate(client: Client, as_json: bool, key_id: str, grace: str) -> int:
    body = {"grace_seconds": units.parse_duration_ms(grace) // 1000}
    return _show_secret(client.post(f"{_path(key_id)}/rotate", body), as_json)


def _revoke(client: Client, as_json: bool, key_id: str) -> int:
    return _show_key(client.post(f"{_path(key_id)}/revoke"), as_json)


def _limits(change: bool) -> list[click.Parameter]:
    removable = ' Or "none".' if change else ""
    periods = ["day", "month", *(("once",) if change else ())]
    return [
        click.Option(["--name"], metavar="TEXT", help="For people: where it is used."),
        click.Option(["--rate"], type=OrWord(RATE, _NONE) if change else RATE, metavar="N/UNIT",
                     help=f"Its own limit, e.g. 10/s, besides those of routes and plans.{removable}"),
        click.Option(["--burst"], type=click.IntRange(1), metavar="N",
                     help="Calls at once. [default: the N of --rate]"),
        click.Option(["--token-rate"], type=OrWord(RATE, _NONE) if change else RATE, metavar="N/UNIT",
                     help=f"Its limit in tokens of models, e.g. 200000/m.{removable}"),
        click.Option(["--models"], type=Names(), metavar="NAMES",
                     help="Models that it may ask for, e.g. 'gpt-5*,claude-*'." + (" '*' for all." if change else "")),
        click.Option(["--budget"], type=OrWord(POSITIVE_MONEY, _NONE) if change else POSITIVE_MONEY,
                     metavar="AMOUNT", help=f"The most it may spend of its account.{removable}"),
        click.Option(["--budget-period"], type=click.Choice(periods),
                     help="The budget is anew every calendar day or month. [default: once]"),
        click.Option(["--expires"], type=OrWord(END, NEVER) if change else END, metavar="MOMENT",
                     help="2027-01-31T00:00:00Z, a date (UTC), or from now like 90d."
                     + (' Or "never".' if change else "")),
    ]  # fmt: skip


COMMAND = click.Group(
    "key",
    short_help="List, create, rotate and revoke keys.",
    help="Keys are what callers present. A new one is shown once; the gateway keeps a digest. Those of the file are "
    "changed in the file.",
    commands=[
        AdminCommand(
            "list",
            callback=_list,
            short_help="List keys.",
            help="List keys, never their secrets: those of the file and those made here, revoked ones included.",
            params=[
                click.Option(["--account"], type=ACCOUNT, metavar="ACCOUNT", help="Of this account alone."),
                limit_option(100, "keys"),
            ],
            epilog=examples("fastgw key list --account acme"),
        ),
        AdminCommand(
            "show",
            callback=_show,
            short_help="Show one key.",
            help="Show one key, with what its budget has spent.",
            params=[_ID],
            epilog=examples("fastgw key show key_0123456789abcdef"),
        ),
        AdminCommand(
            "create",
            callback=_create,
            short_help="Create a key.",
            help="Create a key for an account of the file or of the API. Its secret is shown this once; into a pipe "
            "goes the secret alone.",
            params=[
                click.Argument(["account"], type=ACCOUNT),
                click.Option(
                    ["--certificate"], type=Fingerprint(), metavar="FILE",
                    help="It is a client certificate, in PEM: without a secret.",
                ),
                *_limits(change=False),
            ],
            epilog=examples(
                "fastgw key create acme --name ci",
                "fastgw key create acme --rate 10/s --budget 5.00 --budget-period day --expires 90d",
                "fastgw key create acme --models 'gpt-5*,claude-*' --token-rate 200000/m",
                "fastgw key create acme > key.txt",
                "fastgw key create acme --certificate billing.pem",
            ),
        ),
        AdminCommand(
            "change",
            callback=_change,
            short_help="Change name, limits or end.",
            help="Change what is said, leave the rest; in force for the next call.",
            params=[_ID, *_limits(change=True)],
            epilog=examples(
                "fastgw key change key_0123456789abcdef --budget 20 --budget-period month",
                "fastgw key change key_0123456789abcdef --rate none --expires never",
            ),
        ),
        AdminCommand(
            "rotate",
            callback=_rotate,
            short_help="Give it another secret.",
            help="Make a key with another secret in the place of this one, which goes on for the time of grace. The "
            "new one has an id of its own.",
            params=[
                _ID,
                click.Option(
                    ["--grace"], type=DURATION, default="0s", show_default=True, metavar="DURATION",
                    help="How long the old secret goes on working.",
                ),
            ],
            epilog=examples("fastgw key rotate key_0123456789abcdef --grace 24h"),
        ),
        AdminCommand(
            "revoke",
            callback=_revoke,
            short_help="Refuse a key for good.",
            help="Refuse a key for good, from now on; calls in flight end as they would.",
            params=[_ID],
            epilog=examples("fastgw key revoke key_0123456789abcdef"),
        ),
    ],
)  # fmt: skip

"""Decides how `fastgw quote`, `audit` and `reload` read and what they ask: the gateway as a whole."""

import sys
from collections.abc import Mapping
from typing import Any

import click

from .client import Client
from .options import AdminCommand, Checked, examples, given, key_id
from .outcome import OK, REFUSED
from .show import field, moment, print_facts, print_json, print_table

_STDIN = "-"


def _caller(value: str) -> str:
    if value == _STDIN:
        return value
    try:
        return key_id(value)
    except ValueError:
        raise ValueError(
            "must be a key's id, or - to read the key itself from standard input, where others do not see it"
        ) from None


def _quote(
    client: Client,
    as_json: bool,
    caller: str | None,
    route: str | None,
    path: str | None,
    method: str | None,
    host: str | None,
) -> int:
    if (route is None) == (path is None):
        raise click.UsageError("Which call? Give --route NAME, or --path PATH with --method and --host.")
    body = given(route=route, path=path, method=method, host=host)
    if caller == _STDIN:
        body["key"] = sys.stdin.readline().strip()
    elif caller is not None:
        body["key_id"] = caller
    quote = client.post("/v1/quote", body)
    if as_json:
        print_json(quote)
    else:
        print_facts((name.replace("_", " "), _shown(name, value)) for name, value in quote.items())
    return OK if quote.get("admitted") else REFUSED


def _shown(name: str, value: object) -> object:
    return moment(value) if name.endswith("_at") else value


def _audit(client: Client, as_json: bool) -> int:
    report = client.get("/v1/audit")
    passed = bool(report.get("passed"))
    if as_json:
        print_json(report)
        return OK if passed else REFUSED
    facts = {name: value for name, value in report.items() if name not in ("passed", "differences")}
    print_facts((name.replace("_", " "), _time(name, value)) for name, value in facts.items())
    if differences := report.get("differences"):
        _print_differences(differences)
    if passed:
        click.echo("Ledger, segment and call log agree to the last nano.")
    else:
        click.echo("fastgw: error: they do not agree; what is expected is by the ledger", err=True)
    return OK if passed else REFUSED


def _time(name: str, value: object) -> object:
    return moment(value) if name in ("at", "lost_at") else value


def _print_differences(differences: list[Mapping[str, Any]]) -> None:
    columns = (field("account"), field("what"), field("expected", right=True), field("found", right=True))
    print_table(differences, columns, "")


def _reload(client: Client, as_json: bool) -> int:
    outcome = client.post("/v1/reload")
    if as_json:
        print_json(outcome)
        return OK
    changes, restart = outcome.get("changes") or [], outcome.get("restart") or []
    for line in changes or ["nothing has changed"]:
        click.echo(line)
    for line in restart:
        click.echo(f"{line} (needs a restart, and stays as it is)")
    return OK


QUOTE = AdminCommand(
    "quote",
    callback=_quote,
    short_help="What would a call cost, and would it pass?",
    help="Ask what a call would cost and whether it would be admitted now, and if not, why: decided by the code that "
    "decides calls, without taking or holding anything. Ends with 1 if it would be refused.",
    params=[
        click.Argument(["caller"], type=Checked("caller", _caller), required=False, metavar="[KEY_ID|-]"),
        click.Option(["--route"], metavar="NAME", help="A route, by its name."),
        click.Option(["--path"], metavar="PATH", help="Or a path, as a caller would ask for it."),
        click.Option(["--method"], metavar="METHOD", help="With --path. [default: POST]"),
        click.Option(["--host"], metavar="HOST", help="With --path, where routes have hosts. [default: localhost]"),
    ],
    epilog=examples(
        "fastgw quote key_0123456789abcdef --route chat",
        "fastgw quote key_0123456789abcdef --path /v1/chat/completions --host api.example.com",
        "fastgw quote - --route chat < key.txt",
    ),
)

AUDIT = AdminCommand(
    "audit",
    callback=_audit,
    short_help="Prove that all sums agree.",
    help="Compare the ledger, the segment and the call log, account by account and to the last nano. Ends with 1, and "
    "says where, if they do not agree.",
    epilog=examples("fastgw audit", "fastgw audit --json || page-somebody"),
)

RELOAD = AdminCommand(
    "reload",
    callback=_reload,
    short_help="Read the configuration again.",
    help="Read the file, and those of keys and accounts, again: refused whole, with every line that is wrong and the "
    "old one still serving, or in force for new calls when the command ends. No call fails by it.",
    epilog=examples("fastgw reload", "fastgw check -c fastgw.toml && fastgw reload -c fastgw.toml"),
)

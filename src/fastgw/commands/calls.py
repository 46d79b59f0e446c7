"""Decides how `fastgw logs` and `usage` read and what they ask: calls one by one, and added up."""

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

import click

from .. import units
from .client import Client
from .options import ACCOUNT, BEGINNING, KEY_ID, MONEY, AdminCommand, Checked, examples, given
from .outcome import OK
from .show import Column, field, moment, print_json, print_table, text

POLL_S = 0.5
ROWS_MAX = 10_000
GROUPS = ("account", "key", "route", "code", "model", "tag")
INTERVALS = {60_000: "minute", 3_600_000: "hour", 86_400_000: "day"}

_LINE = (
    ("time", 23, False),
    ("status", 6, True),
    ("verdict", 20, False),
    ("cost", 10, True),
    ("ms", 9, True),
    ("account", 12, False),
    ("route", 10, False),
    ("request", 0, False),
)  # heading, least width, to the right


def _groups(value: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in value.split(","))
    if set(names) <= set(GROUPS) and len(set(names)) == len(names):
        return names
    raise ValueError(f"must be one or more of {', '.join(GROUPS)}, with commas between")


def _interval(value: str) -> str:
    name = INTERVALS.get(units.parse_duration_ms(value))
    if name is None:
        raise ValueError("must be 1m, 1h or 1d")
    return name


def milliseconds(microseconds: object) -> str:
    """Microseconds as milliseconds with three decimals."""
    if not isinstance(microseconds, int):
        return "-"
    return f"{microseconds // 1000:,}.{microseconds % 1000:03d}"


def line_of(call: Mapping[str, Any]) -> str:
    """One call on one line, whatever it asked for."""
    cells = (
        _clock(call.get("time")),
        text(call.get("status")),
        text(call.get("verdict")),
        text(call.get("cost")),
        milliseconds(call.get("total_us")),
        text(call.get("account")),
        text(call.get("route")),
        f"{text(call.get('method'))} {text(call.get('path'))}",
    )
    return _line(cells)


def _line(cells: Iterable[str]) -> str:
    padded = (
        cell.rjust(width) if right else cell.ljust(width) for cell, (_, width, right) in zip(cells, _LINE, strict=True)
    )
    return "  ".join(padded).rstrip()


def _clock(value: object) -> str:
    """A moment to the millisecond, which the zone's letter need not follow."""
    written = text(value)
    head, point, rest = written.rstrip("Z").partition(".")
    return f"{head}.{rest[:3]:0<3}" if point else f"{head}.000"


def _logs(client: Client, as_json: bool, follow: bool, limit: int, **filters: Any) -> int:
    if follow and not limit:
        raise click.UsageError("--follow goes on from the latest calls: -n is from 1 to 1000 with it.")
    query = given(**filters)
    calls: Iterable[Any]
    if follow:
        calls = client.follow("/v1/calls", {**query, "limit": limit}, POLL_S, time.sleep)
    elif limit:
        calls = client.get("/v1/calls", {**query, "limit": limit})["items"]
    else:
        calls = client.onward("/v1/calls", query, "0")
    if not as_json:
        click.echo(_line(heading for heading, _, _ in _LINE))
    for call in calls:
        click.echo(json.dumps(call, separators=(",", ":")) if as_json else line_of(call))
    return OK


def _usage(client: Client, as_json: bool, by: str, every: str | None, **filters: Any) -> int:
    groups = _groups(by)
    interval = None if every is None else _interval(every)
    query = given(by=",".join(groups), every=interval, limit=ROWS_MAX, **filters)
    usage = client.get("/v1/usage", query)
    if as_json:
        print_json(usage)
        return OK
    columns = [Column("from", lambda row: moment(row.get("start")))] if every else []
    columns += [field(name) for name in groups]
    columns += [field(name, right=True) for name in ("calls", "charged", "cost", "tokens_in", "tokens_out")]
    columns += [
        Column("p50 ms", lambda row: milliseconds(row.get("p50_us")), right=True),
        Column("p99 ms", lambda row: milliseconds(row.get("p99_us")), right=True),
    ]
    print_table(usage["items"], columns, "There were no calls.")
    if not usage.get("complete", True):
        click.echo("There is more than this: ask for less at once, by a filter or a longer interval.", err=True)
    return OK


def _filters() -> list[click.Parameter]:
    return [
        click.Option(["--account"], type=ACCOUNT, metavar="ACCOUNT", help="Calls that this account pays."),
        click.Option(["--key", "key_id"], type=KEY_ID, metavar="KEY_ID", help="Calls with this key."),
        click.Option(["--route"], metavar="NAME", help="Calls of this route."),
        click.Option(["--code"], metavar="CODE", help='"admitted", or a refusal\'s code like insufficient_balance.'),
        click.Option(["--model"], metavar="MODEL", help="Calls that this provider/model served."),
        click.Option(["--tag"], metavar="TAG", help="Calls with this X-Fastgw-Tag."),
    ]


def _window(since: str | None) -> list[click.Parameter]:
    return [
        click.Option(["--since"], type=BEGINNING, default=since, show_default=since is not None, metavar="MOMENT",
                     help="From then on: a moment like 2026-11-20T08:00:00Z, a date (UTC), or a time ago like 24h."),
        click.Option(["--until"], type=BEGINNING, metavar="MOMENT", help="Until then."),
    ]  # fmt: skip


LOGS = AdminCommand(
    "logs",
    callback=_logs,
    short_help="The last calls, and those that come.",
    help="Show calls, the latest last: every one that ended, refused ones included. With --json one object a line.",
    params=[
        click.Option(["-f", "--follow"], is_flag=True, help="Go on with those that come."),
        click.Option(["-n", "--limit"], type=click.IntRange(0, 1000), default=20, show_default=True, metavar="N",
                     help="The latest so many; 0 is all."),
        *_filters(),
        click.Option(["--status"], type=click.IntRange(100, 599), metavar="N", help="Calls answered with this status."),
        click.Option(["--path"], metavar="PREFIX", help="Calls of paths that begin so."),
        click.Option(["--request-id"], metavar="ID", help="The call whose answer had this X-Request-Id."),
        click.Option(["--min-cost"], type=MONEY, metavar="AMOUNT", help="Calls that cost at least this."),
        *_window(None),
    ],
    epilog=examples(
        "fastgw logs --follow --account acme",
        "fastgw logs --code insufficient_balance --since 1h -n 100",
        "fastgw logs -f --json | jq -c 'select(.total_us > 1000000)'",
    ),
)  # fmt: skip

USAGE = AdminCommand(
    "usage",
    callback=_usage,
    short_help="Calls and their cost, added up.",
    help="Add up calls by account, key, route, code (of the verdict), model or tag, over time where --every says so.",
    params=[
        click.Option(["--by"], type=Checked("groups", _groups), default="account", show_default=True,
                     metavar="GROUPS", help="account, key, route, code, model, tag; several with commas."),
        click.Option(["--every"], type=Checked("interval", _interval), metavar="INTERVAL", help="1m, 1h or 1d."),
        *_window("24h"),
        *_filters(),
    ],
    epilog=examples(
        "fastgw usage",
        "fastgw usage --by account,route --since 24h --every 1h",
        "fastgw usage --by model,tag --account acme --since 7d",
        "fastgw usage --by code --account acme --since 7d --json",
    ),
)  # fmt: skip

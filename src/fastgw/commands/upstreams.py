"""Decides how `fastgw upstreams` and `fastgw upstream` read and what they ask: servers, and targets by hand."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import click

from ..config.upstreams import parse_target
from ..roster import name_of
from .client import Client
from .options import AdminCommand, Checked, examples
from .outcome import OK
from .show import field, print_facts, print_json, print_table

_SERVERS = (
    field("upstream"),
    field("name", "server"),
    field("origin"),
    field("weight", right=True),
    field("state"),
    field("in_flight", right=True),
    field("connections", right=True),
    field("calls", right=True),
    field("failures", right=True),
    field("why"),
)
_NONE = "There are no upstreams."


def _url(value: str) -> str:
    parse_target(value)
    return value


URL = Checked("target", _url)


def _path(upstream: str, target: str) -> str:
    """Of a target, by its name or its URL."""
    try:
        name = name_of(parse_target(target))
    except ValueError:
        name = target
    return f"{_upstream_path(upstream)}/targets/{quote(name, safe='')}"


def _upstream_path(upstream: str) -> str:
    return f"/v1/upstreams/{quote(upstream, safe='')}"


def _show(client: Client, as_json: bool, upstream: str | None) -> int:
    found = client.get("/v1/upstreams")["items"] if upstream is None else [client.get(_upstream_path(upstream))]
    if as_json:
        print_json(found if upstream is None else found[0])
        return OK
    print_table([row for each in found for row in _rows(each)], _SERVERS, _NONE)
    for each in found:
        if each.get("problem"):
            click.echo(
                f"fastgw: {each['name']}: {each['problem']}; its targets are those that were read last", err=True
            )
    return OK


def _rows(upstream: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A line for each server, and for each target that stands for none."""
    targets = {target["name"]: target for target in upstream["targets"]}
    for server in upstream["servers"]:
        target = targets.get(server["target"], {})
        yield {"upstream": upstream["name"], "origin": target.get("origin"), "why": server["reason"], **server}
    served = {server["target"] for server in upstream["servers"]}
    for name, target in targets.items():
        if name not in served:
            why = target["problem"] or "it is not known yet where it is"
            yield {"upstream": upstream["name"], **target, "state": "unknown", "why": why}
    if not targets and not upstream["servers"]:
        yield {"upstream": upstream["name"], "state": "down", "why": "it has no targets"}


def _show_target(target: Mapping[str, Any], as_json: bool) -> int:
    if as_json:
        print_json(target)
    else:
        print_facts((name, value) for name, value in target.items())
    return OK


def _add(client: Client, as_json: bool, upstream: str, target: str, weight: int, expand: bool) -> int:
    body = {"url": target, "weight": weight, "expand": expand}
    return _show_target(client.post(f"{_upstream_path(upstream)}/targets", body), as_json)


def _remove(client: Client, as_json: bool, upstream: str, target: str) -> int:
    client.delete(_path(upstream, target))
    if as_json:
        print_json({})
    return OK


def _drain(client: Client, as_json: bool, upstream: str, target: str) -> int:
    return _show_target(client.patch(_path(upstream, target), {"drained": True}), as_json)


def _undrain(client: Client, as_json: bool, upstream: str, target: str) -> int:
    return _show_target(client.patch(_path(upstream, target), {"drained": False}), as_json)


def _names() -> list[click.Parameter]:
    return [click.Argument(["upstream"]), click.Argument(["target"])]


LIST = AdminCommand(
    "upstreams",
    callback=_show,
    short_help="Show where calls go, and how it is there.",
    help="Show every server that calls are sent to: up, down by checks, ejected for calls that failed, or drained; "
    "what it has to do, and why it is down.",
    params=[click.Argument(["upstream"], required=False)],
    epilog=examples("fastgw upstreams", "watch fastgw upstreams api"),
)

COMMAND = click.Group(
    "upstream",
    short_help="Add, remove and drain targets.",
    help="Change the targets of an upstream while it serves. What is changed here stays so across restarts.",
    commands=[
        AdminCommand(
            "add",
            callback=_add,
            short_help="Add a target.",
            help="Add a target to an upstream, beside those of the file.",
            params=[
                click.Argument(["upstream"]),
                click.Argument(["target"], type=URL),
                click.Option(["--weight"], type=click.IntRange(0, 1_000), default=1, show_default=True, metavar="N",
                             help="Its share of the calls beside the others'."),
                click.Option(["--expand"], is_flag=True, help="Each address of its name is a server of its own."),
            ],
            epilog=examples("fastgw upstream add api http://10.0.0.7:9000", "fastgw upstream add api unix:/run/a.sock"),
        ),
        AdminCommand(
            "remove",
            callback=_remove,
            short_help="Remove a target that was added.",
            help="Remove a target that was added here; calls in flight go on. What a file names is removed there.",
            params=_names(),
            epilog=examples("fastgw upstream remove api 10.0.0.7:9000"),
        ),
        AdminCommand(
            "drain",
            callback=_drain,
            short_help="Send no new calls to a target.",
            help="Send no new calls to a target, whoever has named it; those in flight go on.",
            params=_names(),
            epilog=examples("fastgw upstream drain api 10.0.0.7:9000", "fastgw upstream drain api http://10.0.0.7:9000"),
        ),
        AdminCommand(
            "undrain",
            callback=_undrain,
            short_help="Send calls to a drained target again.",
            help="Send calls to a drained target again.",
            params=_names(),
            epilog=examples("fastgw upstream undrain api 10.0.0.7:9000"),
        ),
    ],
)  # fmt: skip

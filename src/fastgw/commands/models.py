"""Decides how `fastgw models` reads and what it shows: what callers may ask for, and what it costs."""

import os
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

import click
import msgspec

from .. import price_list
from ..config.load import read
from .client import Client
from .options import AdminCommand, examples
from .outcome import OK, Unreachable
from .place import find_place
from .show import Column, field, moment, print_json, print_table

_COLUMNS = (
    field("name", "model"),
    field("served_by"),
    field("rank", right=True),
    field("weight", right=True),
    field("price.input", right=True),
    field("price.cached", right=True),
    field("price.output", right=True),
    field("max_tokens", right=True),
    field("limit_tokens", right=True),
    field("state"),
    field("why"),
)
_KEY_COLUMNS = (
    field("name", "provider"),
    field("key", right=True),
    field("state"),
    Column("since", lambda item: moment(item["since"])),
    Column("until", lambda item: moment(item["until"])),
    field("calls", right=True),
    field("rests", right=True),
    field("refusals", right=True),
)


class _Models(AdminCommand):
    """Asks the gateway, or reads the file that says what it would serve."""

    def invoke(self, ctx: click.Context) -> Any:
        file = ctx.params["config_file"]
        try:
            place = find_place(file, ctx.params.pop("admin"), ctx.params.pop("state_dir"), os.environ)
            answer = Client(place).get("/v1/models")
            if ctx.params["keys"]:
                return _show_keys(answer["providers"], ctx.params["as_json"], ctx.params["name"])
            items = answer["items"]
        except Unreachable:
            if file is None or ctx.params["keys"]:
                raise
            items = msgspec.to_builtins(price_list.shown(read(file, {}, os.environ).config, price_list.unknown))
            click.echo(f"fastgw: no gateway answers; this is what {file} says", err=True)
        ctx.params.pop("config_file")
        ctx.params.pop("keys")
        return _show(items, **ctx.params)


def _show(items: list[dict[str, Any]], as_json: bool, name: str | None, everything: bool) -> int:
    if name is not None:
        items = [item for item in items if fnmatchcase(item["name"], name)]
    elif not everything:
        items = [item for item in items if item["listed"]]
    if as_json:
        print_json(items)
    else:
        print_table(_rows(items), _COLUMNS, "There are no models.")
    return OK


def _show_keys(providers: list[dict[str, Any]], as_json: bool, name: str | None) -> int:
    providers = [provider for provider in providers if name is None or fnmatchcase(provider["name"], name)]
    if as_json:
        print_json(providers)
    else:
        rows = ({"name": provider["name"], **key} for provider in providers for key in provider["keys"])
        print_table(rows, _KEY_COLUMNS, "There are no providers.")
    return OK


def _rows(items: list[dict[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """A line for each of those who may serve a model."""
    for item in items:
        for target in item["targets"]:
            served_by = f"{target['provider']}/{target['model']}"
            yield {**item, **target, "name": item["name"], "served_by": served_by}


MODELS = _Models(
    "models",
    short_help="Show the models, and what they cost.",
    help="Show the models that callers may ask for, who serves each, in which order, and what a million tokens cost: "
    "of the gateway that runs, with the state of its providers, or of a file. NAME is one, or a pattern with *. --keys "
    "shows the keys of providers instead, by their place in the file, and NAME is then a provider's.",
    params=[
        click.Argument(["name"], required=False),
        click.Option(["--all", "everything"], is_flag=True, help="Those too that have a shorter name beside."),
        click.Option(["--keys"], is_flag=True, help="How the keys of providers are: ok, resting, refused, unpaid."),
    ],
    epilog=examples("fastgw models", "fastgw models 'claude-*' -c fastgw.toml", "fastgw models --json | jq '.[].name'"),
)

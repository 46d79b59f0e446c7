"""Decides what the commands' options have in common: where the gateway is, how money and moments are written."""

import os
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from .. import units
from ..config.fields import parse_account_name
from .client import Client
from .outcome import EXIT_CODES
from .place import TOKEN_VARIABLE, find_place

NEVER = "never"
_MINUS = "\N{MINUS SIGN}"
_NEGATIVE = re.compile(r"-[0-9.]+")
_KEY_ID = re.compile(r"key_[0-9a-f]{16}")


class Amount(click.ParamType[str]):
    """Money as a decimal string, exact to the nano; more than 0, where `least` is "more"."""

    name = "amount"

    def __init__(self, least: str) -> None:
        self.least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        negative = value.startswith(_MINUS)
        digits = value.removeprefix(_MINUS)
        try:
            nanos = units.parse_money_nanos(digits)
        except ValueError as error:
            self.fail(f'"{value}" {error}', param, ctx)
        if negative and self.least != "any":
            self.fail(f'"-{digits}" must not be negative', param, ctx)
        if nanos == 0 and self.least != "zero":
            self.fail(f'"{value}" must not be 0', param, ctx)
        return units.format_money(-nanos if negative else nanos)


class Moment(click.ParamType[str]):
    """RFC 3339 with an offset, a date, or a duration from now: forward for an end, back for a beginning."""

    name = "moment"

    def __init__(self, forward: bool) -> None:
        self.forward = forward

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            if not value.isdecimal():
                distance = timedelta(milliseconds=units.parse_duration_ms(value))
                return _written(datetime.now(UTC) + (distance if self.forward else -distance))
        except (ValueError, OverflowError):
            pass
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            where = "from now" if self.forward else "ago"
            self.fail(
                f'"{value}" must be a moment like 2027-01-31T00:00:00Z, a date, or a duration {where} like 24h or 30d',
                param, ctx,
            )  # fmt: skip
        if moment.tzinfo is None and len(value) > len("2027-01-31"):
            self.fail(f'"{value}" must say its offset, like {value}Z or {value}+01:00', param, ctx)
        return _written(moment.replace(tzinfo=moment.tzinfo or UTC))


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z").replace(".000Z", "Z")


class Checked(click.ParamType[Any]):
    """Whatever `parse` takes; it raises ValueError with a rule, which is told with the value."""

    def __init__(self, name: str, parse: Callable[[Any], Any]) -> None:
        self.name = name
        self.parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            self.parse(value)
        except ValueError as error:
            self.fail(f'"{value}" {error}', param, ctx)
        return value


class OrWord(click.ParamType[Any]):
    """What another type takes, or one word, which stays as it is."""

    def __init__(self, other: click.ParamType[Any], word: str) -> None:
        self.name = other.name
        self.other = other
        self.word = word

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if value == self.word else self.other.convert(value, param, ctx)


def key_id(value: str) -> str:
    if _KEY_ID.fullmatch(value):
        return value
    raise ValueError("must be a key's id, like key_0123456789abcdef; `fastgw key list` has them")


ACCOUNT = Checked("account", parse_account_name)
KEY_ID = Checked("key id", key_id)
RATE = Checked("rate", units.parse_rate)
DURATION = Checked("duration", units.parse_duration_ms)
MONEY, POSITIVE_MONEY, SIGNED_MONEY = Amount("zero"), Amount("more"), Amount("any")
END, BEGINNING = Moment(forward=True), Moment(forward=False)


class AdminCommand(click.Command):
    """A command that asks a gateway: with the options that say which, and amounts that may begin with a minus."""

    def __init__(self, name: str, *, params: Sequence[click.Parameter] = (), epilog: str = "", **rest: Any) -> None:
        super().__init__(name, params=[*params, *_place_options()], epilog=f"{epilog}\n{EXIT_CODES}", **rest)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # "-1.50" is an amount, and would be taken for an option.
        return super().parse_args(ctx, [_MINUS + arg[1:] if _NEGATIVE.fullmatch(arg) else arg for arg in args])

    def invoke(self, ctx: click.Context) -> Any:
        place = find_place(
            ctx.params.pop("config_file"), ctx.params.pop("admin"), ctx.params.pop("state_dir"), os.environ
        )
        return ctx.invoke(self.callback, Client(place), **ctx.params) if self.callback else None


def _place_options() -> list[click.Parameter]:
    return [
        click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
        click.Option(["-c", "--config", "config_file"], metavar="FILE", envvar="FASTGW_CONFIG",
                     help="The gateway's file, which says where it is."),
        click.Option(["--admin"], metavar="ADDRESS",
                     help="Its admin address, or a URL. [default: 127.0.0.1:8081]"),
        click.Option(["--state-dir"], metavar="DIR",
                     help=f"Its state directory, which holds the token; or give that in {TOKEN_VARIABLE}."),
    ]  # fmt: skip


def examples(*lines: str) -> str:
    """The end of a --help."""
    return "\b\nExamples:\n" + "".join(f"  {line}\n" for line in lines)


def limit_option(default: int, noun: str) -> click.Option:
    return click.Option(
        ["-n", "--limit"], type=click.IntRange(0), default=default, show_default=True, metavar="N",
        help=f"Most {noun}; 0 is all.",
    )  # fmt: skip


def given(**fields: Any) -> dict[str, Any]:
    """What was said, as the body or query of a request."""
    return {name: value for name, value in fields.items() if value is not None}

"""Decides how one field of a table is read, refused by its place, and shown in the refusal."""

import json
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date, datetime, time
from difflib import get_close_matches
from typing import Any, TypeVar

from .. import addresses, units
from ..model import Problem, Rate
from .toml_lines import Path

T = TypeVar("T")
Convert = Callable[[Any], T]

_SLUG = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")
_ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@:+-]{0,62}")
_LABEL = re.compile(r"[ !#-\[\]-~]{1,63}")
_PATH = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*")  # RFC 3986 §3.3
_DOT_SEGMENT = re.compile(r"/(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)
_NAMES_SHOWN = 20
_KEY = re.compile(r"[!#-&(-+\--~]{8,256}")


class HoldsSecretError(ValueError):
    """The refused value must not be shown."""


class Report:
    """Collects problems; `locate` turns a path of the document into "fastgw.toml:12" or "--price".

    `base` is the folder that paths of files are relative to, "" for the current one.
    """

    def __init__(self, locate: Callable[[Path], str], base: str = "") -> None:
        self.locate = locate
        self.base = base
        self.problems: list[Problem] = []

    def refuse(self, path: Path, rule: str, value: object = None) -> None:
        """Add `where: path = value: rule`; without a value (a secret, or none there) `where: path: rule`."""
        shown = "" if value is None else f" = {show(value)}"
        self.problems.append(Problem(self.locate(path), f"{dotted(path)}{shown}: {rule}"))


def dotted(path: Path) -> str:
    """("routes", 0, "price") → "routes[0].price"."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def show(value: object) -> str:
    """A value as TOML has it, cut at 80 characters; what tables and arrays hold is not shown."""
    match value:
        case dict():
            return "{…}"
        case list():
            return "[…]"
        case bool():
            return str(value).lower()
        case date() | time():
            return value.isoformat()
        case str():
            text = json.dumps(value)
        case _:
            text = str(value)
    return text if len(text) <= 80 else text[:79] + "…"


def unknown(name: str, allowed: Sequence[str]) -> str:
    """The rule that refuses a name nobody knows, with the likeliest one that was meant."""
    close = get_close_matches(name, allowed, n=1)
    return f"unknown, did you mean {close[0]}?" if close else f"unknown, allowed are {', '.join(allowed)}"


def array_of_tables(document: Mapping[str, Any], name: str, report: Report) -> list[Any]:
    """What is written under [[name]], nothing where that is no array."""
    value = document.get(name, [])
    if isinstance(value, list):
        return value
    report.refuse((name,), f"must be an array of tables, written [[{name}]]")
    return []


class Fields:
    """One table being read."""

    def __init__(self, report: Report, path: Path, raw: Any, allowed: Sequence[str]) -> None:
        self.report, self.path = report, path
        self.is_table = isinstance(raw, dict)
        self.raw: Mapping[str, Any] = raw if self.is_table else {}
        if not self.is_table:
            report.refuse(path, "must be a table")
        for name in self.raw:
            if name not in allowed:
                report.refuse((*path, name), unknown(name, allowed))

    def take(self, name: str, convert: Convert[T], stand_in: T, secret: bool = False) -> T:
        """The converted value of `name`, or `stand_in` where it is absent or refused."""
        if name not in self.raw:
            return stand_in
        found: T = self._convert((*self.path, name), self.raw[name], convert, stand_in, secret)
        return found

    def require(self, name: str, convert: Convert[T], stand_in: T, secret: bool = False) -> T:
        if name not in self.raw and self.is_table:
            self.report.refuse((*self.path, name), "is missing")
        return self.take(name, convert, stand_in, secret)

    def file(self, name: str) -> str:
        """The absolute path of the file that `name` holds, "" where it is absent or refused."""
        path = self.take(name, _parse_file, "")
        return os.path.abspath(os.path.join(self.report.base, path)) if path else ""

    def each(self, name: str, convert: Convert[T]) -> tuple[T, ...]:
        """The converted elements of an array without the refused ones; a repeated one is refused."""
        values = self.raw.get(name, [])
        if not isinstance(values, list):
            self.report.refuse((*self.path, name), "must be an array", values)
            return ()
        found: list[T] = []
        for index, value in enumerate(values):
            path = (*self.path, name, index)
            converted = self._convert(path, value, convert, None, secret=False)
            if converted is not None and converted in found:
                self.report.refuse(path, "is there twice", value)
            elif converted is not None:
                found.append(converted)
        return tuple(found)

    def _convert(self, path: Path, value: object, convert: Convert[T], stand_in: Any, secret: bool) -> Any:
        try:
            return convert(value)
        except ValueError as error:
            hidden = secret or isinstance(error, HoldsSecretError)
            self.report.refuse(path, str(error), None if hidden else value)
            return stand_in

    def token_rate(self) -> Rate | None:
        return self.take("token_rate", parse_token_rate, None)

    def rate(self) -> Rate | None:
        """The bucket of `rate` and `burst`; where burst is not said it is what one period gives."""
        limit = self.take("rate", units.parse_rate, None)
        burst = self.take("burst", units.parse_burst, None)
        if "rate" not in self.raw and burst is not None:
            self.report.refuse((*self.path, "burst"), "needs a rate", burst)
        if limit is None:
            return None
        try:
            return bucket(limit, burst)
        except ValueError as error:
            which = "rate" if burst is None else "burst"
            self.report.refuse((*self.path, which), str(error), self.raw[which])
            return None


def token_bucket(limit: tuple[int, int]) -> Rate:
    """A `Rate` in tokens of (count, period_ns), of which one period's are there at once; `ValueError` for too many."""
    count, period_ns = limit
    if count > units.BURST_MAX:
        raise ValueError(f"must be at most {units.BURST_MAX} tokens in a period: say it of a shorter one")
    return Rate(count, period_ns, count)


def parse_token_rate(value: object) -> Rate:
    """A rate of tokens, "200000/m"."""
    try:
        limit = units.parse_rate(value)
    except ValueError:
        raise ValueError('must be a whole number of tokens per s, m, h or d, written like "200000/m"') from None
    return token_bucket(limit)


def bucket(limit: tuple[int, int], burst: int | None) -> Rate:
    """A `Rate` of (count, period_ns) and a burst, None for the count; too deep a one raises `ValueError`."""
    count, period_ns = limit
    rate = Rate(count, period_ns, min(count, units.BURST_MAX) if burst is None else burst)
    units.check_refill(rate.count, rate.period_ns, rate.burst)
    return rate


def matching(form: re.Pattern[str], rule: str) -> Convert[str]:
    def convert(value: Any) -> str:
        if isinstance(value, str) and form.fullmatch(value):
            return value
        raise ValueError(rule)

    return convert


def one_of(*choices: str) -> Convert[str]:
    def convert(value: Any) -> str:
        if value in choices:
            return str(value)
        raise ValueError("must be " + " or ".join(f'"{choice}"' for choice in choices))

    return convert


def existing(noun: str, names: Collection[str]) -> Convert[str]:
    """Takes the names of what there is."""

    def convert(value: Any) -> str:
        if isinstance(value, str) and value in names:
            return value
        raise ValueError(missing(noun, names))

    return convert


def missing(noun: str, names: Collection[str]) -> str:
    """The rule that refuses a name of something that is not there."""
    known = ", ".join(sorted(names)) if len(names) <= _NAMES_SHOWN else f"{len(names)} others"
    return f"no {noun} has this name; there is {known or 'none'}"


def _parse_file(value: Any) -> str:
    if isinstance(value, str) and 1 <= len(value) <= 4096 and value.isprintable():
        return value
    raise ValueError("must be the path of a file")


def integer(low: int, high: int) -> Convert[int]:
    """Takes integers within these bounds."""

    def convert(value: Any) -> int:
        if type(value) is int and low <= value <= high:
            return value
        raise ValueError(f"must be an integer from {low} to {high}")

    return convert


def duration(low_ms: int, high_ms: int, zero: bool = False) -> Convert[int]:
    """Takes durations within these bounds, in milliseconds, and 0 where that means off."""
    low, high = units.format_duration(low_ms), units.format_duration(high_ms)
    off = ", or 0 (off)" if zero else ""
    rule = f"must be a duration from {low} to {high}{off}, {units.DURATION_FORM}"

    def convert(value: Any) -> int:
        try:
            ms = units.parse_duration_ms(value)
        except ValueError:
            raise ValueError(rule) from None
        if low_ms <= ms <= high_ms or (zero and ms == 0):
            return ms
        raise ValueError(rule)

    return convert


def parse_boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError("must be true or false")


def parse_table(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise ValueError('must be a table, like { name = "value" }')


parse_slug = matching(_SLUG, "must be 1 to 63 of a-z 0-9 _ . - and start with a letter or digit")
parse_account_name = matching(_ACCOUNT, "must be 1 to 63 of A-Z a-z 0-9 _ . @ : + - and start with a letter or digit")
parse_label = matching(_LABEL, 'must be 1 to 63 printable ASCII characters without " and \\')
parse_key = matching(
    _KEY, "must be 8 to 256 printable ASCII characters without space, comma and quotes (value not shown)"
)

parse_period = one_of("day", "month")


def parse_amount(value: Any) -> int:
    """Nanos of an amount that is more than nothing."""
    if nanos := units.parse_money_nanos(value):
        return nanos
    raise ValueError("must be more than 0")


def parse_expires_s(value: Any) -> int:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError("must be a date and time with offset, without quotes, like 2027-01-31T00:00:00Z")
    return check_expires_s(value)


def check_expires_s(moment: datetime) -> int:
    """Unix seconds of a moment with offset, rounded down."""
    seconds = int(moment.timestamp())
    if seconds < 1:
        raise ValueError("must be later than 1970")
    return seconds


def parse_path(value: Any) -> str:
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError('must be a path that starts with "/"')
    if _DOT_SEGMENT.search(value) or "%2e" in value.lower():
        raise ValueError("must have no dot segments (/./ or /../) and no percent-encoded dots")
    if "//" in value:
        raise ValueError("must have no empty segments (//)")
    if not _PATH.fullmatch(value) or len(value) > 1024:
        raise ValueError("must be at most 1024 ASCII characters of a URL's path: no query, no fragment, no space")
    return value


def parse_host(value: Any) -> str:
    text = value if isinstance(value, str) else ""
    host = addresses.parse_host(text)
    if host is None:
        raise ValueError('must be an exact host name without port, like "api.example.com"')
    return f"[{host}]" if text.startswith("[") else host

"""Decides how keys and accounts are read from files of one JSON object per line, for millions of them."""

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from hashlib import blake2b
from itertools import islice
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from .. import identities, units
from ..model import TAGS_MAX, Account, Config, ConfigError, Key, Problem, Secret
from ..scopes import scope
from .fields import (
    bucket,
    check_expires_s,
    missing,
    parse_account_name,
    parse_amount,
    parse_key,
    parse_label,
    parse_period,
    parse_slug,
    parse_token_rate,
)
from .tables import check_account
from .tags import parse_tags_max
from .toml_lines import Path

PROBLEMS_MAX = 100  # of one check: a file of a million wrong lines is wrong in one way

_AT = re.compile(r"(.*) - at `\$\.?(.*)`", re.DOTALL)
Line = TypeVar("Line")
Item = TypeVar("Item", Key, Account)


class _KeyLine(Struct, forbid_unknown_fields=True):
    account: str
    key: str | None = None
    certificate: str | None = None
    name: str | None = None
    rate: str | None = None
    burst: int | None = None
    expires: Annotated[datetime, Meta(tz=True)] | None = None
    revoked: bool = False
    budget: str | int | float | None = None
    budget_period: str | None = None
    token_rate: str | None = None
    models: tuple[str, ...] | None = None


class _AccountLine(Struct, forbid_unknown_fields=True):
    name: str
    balance: str | int | float = 0
    credit: str | int | float = 0
    plan: str | None = None
    expires: Annotated[datetime, Meta(tz=True)] | None = None
    suspended: bool = False
    tag_budget: str | int | float | None = None
    tag_budget_period: str | None = None
    tags_max: int = TAGS_MAX


def iter_keys(path: str) -> Iterator[Key]:
    """The keys of a file, one JSON object per line with the fields of [[keys]], `expires` as RFC 3339 text.

    Empty lines are skipped. Each line is checked by itself; `check_files` sees to it that keys are unique and
    accounts exist.
    Raises `ConfigError` with one problem, "path:line: …", at the first line that is wrong.
    """
    return _strict(_scan(path, msgspec.json.Decoder(_KeyLine), _key))


def iter_accounts(path: str) -> Iterator[Account]:
    """The accounts of a file, one JSON object per line with the fields of [[accounts]]; as `iter_keys`."""
    return _strict(_scan(path, msgspec.json.Decoder(_AccountLine), _account))


def _strict(scan: Iterator[tuple[int, Item | Problem]]) -> Iterator[Item]:
    for _, item in scan:
        if isinstance(item, Problem):
            raise ConfigError([item])
        yield item


def _scan(
    path: str, decoder: msgspec.json.Decoder[Line], build: Callable[[Line], Item]
) -> Iterator[tuple[int, Item | Problem]]:
    """(line number, what the line holds or what is wrong with it) for every line that is not empty."""
    decode = decoder.decode
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield number, build(decode(line))
                except (msgspec.MsgspecError, ValueError) as error:
                    if line.strip():
                        yield number, Problem(f"{path}:{number}", _explain(error))
    except OSError as error:
        yield 0, Problem(path, f"cannot be read: {error.strerror}")


def _explain(error: Exception) -> str:
    """A decoder's message with the field in front; it holds types and field names, never a value."""
    if isinstance(error, UnicodeDecodeError):
        return "is not UTF-8, which JSON requires"
    if isinstance(error, msgspec.DecodeError) and not isinstance(error, msgspec.ValidationError):
        return f"is not JSON: {str(error).removeprefix('JSON is malformed: ')}"
    match = _AT.fullmatch(str(error))
    if match is None:
        return str(error)
    return f"{match[2]}: {match[1]}" if match[2] else match[1]


def _key(line: _KeyLine) -> Key:
    rate = None
    if line.rate is not None:
        limit = _field("rate", units.parse_rate, line.rate)
        burst = None if line.burst is None else _field("burst", units.parse_burst, line.burst)
        rate = _field("burst", lambda depth: bucket(limit, depth), burst)
    elif line.burst is not None:
        raise ValueError("burst: needs a rate")
    if line.budget_period is not None and line.budget is None:
        raise ValueError("budget_period: needs a budget")
    return Key(
        _field("account", parse_account_name, line.account),
        Secret(_presented(line)),
        "" if line.name is None else _field("name", parse_label, line.name),
        rate,
        0 if line.expires is None else _field("expires", check_expires_s, line.expires),
        line.revoked,
        0 if line.budget is None else _field("budget", parse_amount, line.budget),
        "" if line.budget_period is None else _field("budget_period", parse_period, line.budget_period),
        None if line.token_rate is None else _field("token_rate", parse_token_rate, line.token_rate),
        () if line.models is None else _field("models", scope, tuple(line.models)),
    )


def _presented(line: _KeyLine) -> str:
    """The text that the key is known by: its own, or that of a client certificate."""
    if line.certificate is not None and line.key is not None:
        raise ValueError("certificate: is a key by itself, and key is there too")
    if line.certificate is not None:
        return _field("certificate", identities.of_text, line.certificate)
    if line.key is None:
        raise ValueError("Object missing required field `key`, or `certificate`")
    return _field("key", parse_key, line.key)


def _account(line: _AccountLine) -> Account:
    if line.tag_budget_period is not None and line.tag_budget is None:
        raise ValueError("tag_budget_period: needs a tag_budget")
    account = Account(
        _field("name", parse_account_name, line.name),
        _field("balance", units.parse_money_nanos, line.balance),
        _field("credit", units.parse_money_nanos, line.credit),
        "" if line.plan is None else _field("plan", parse_slug, line.plan),
        0 if line.expires is None else _field("expires", check_expires_s, line.expires),
        line.suspended,
        0 if line.tag_budget is None else _field("tag_budget", parse_amount, line.tag_budget),
        "" if line.tag_budget_period is None else _field("tag_budget_period", parse_period, line.tag_budget_period),
        _field("tags_max", parse_tags_max, line.tags_max),
    )
    return _field("credit", check_account, account)


Value = TypeVar("Value")
Converted = TypeVar("Converted")


def _field(name: str, convert: Callable[[Value], Converted], value: Value) -> Converted:
    try:
        return convert(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


class Counts(Struct, frozen=True):
    """How many accounts and keys there are, those of the files included."""

    accounts: int
    keys: int


def check_files(config: Config, locate: Callable[[Path], str]) -> Counts:
    """Read `accounts_file` and `keys_file` whole and check them with each other and with the configuration.

    `locate` tells where a path of the tables was written. Keys are remembered by a 16-byte hash.
    Raises `ConfigError` with the first `PROBLEMS_MAX` problems.
    """
    names = {account.name for account in config.accounts}
    hashes = {_hash(key) for key in config.keys}
    problems = list(islice(_file_problems(config, locate, names, hashes), PROBLEMS_MAX))
    if problems:
        raise ConfigError(problems)
    return Counts(len(names), len(hashes))


def _file_problems(
    config: Config, locate: Callable[[Path], str], names: set[str], hashes: set[bytes]
) -> Iterator[Problem]:
    """What is wrong in the files; meanwhile their account names and hashes of keys are added to the sets."""
    server = config.server
    plans = frozenset(plan.name for plan in config.plans)
    if file := server.accounts_file:
        for line, account in _scan(file, msgspec.json.Decoder(_AccountLine), _account):
            if isinstance(account, Problem):
                yield account
            elif account.name in names:
                yield Problem(f"{file}:{line}", f'name = "{account.name}": an account has this name already')
            else:
                names.add(account.name)
                if account.plan and account.plan not in plans:
                    yield Problem(f"{file}:{line}", f'plan = "{account.plan}": {missing("plan", plans)}')
    for index, key in enumerate(config.keys):
        if key.account not in names:
            where = locate(("keys", index, "account"))
            yield Problem(where, f'keys[{index}].account = "{key.account}": no account has this name')
    if file := server.keys_file:
        for line, record in _scan(file, msgspec.json.Decoder(_KeyLine), _key):
            if isinstance(record, Problem):
                yield record
                continue
            if record.account not in names:
                yield Problem(f"{file}:{line}", f'account = "{record.account}": no account has this name')
            hashed = _hash(record)
            if hashed in hashes:
                yield Problem(f"{file}:{line}", "key: is there already (value not shown)")
            hashes.add(hashed)
    for name, count in (("accounts", len(names)), ("keys", len(hashes))):
        room = getattr(server, f"{name}_max")
        if count > room:
            where = getattr(server, f"{name}_file")
            yield Problem(where, f"with it there are {count} {name}, more than server.{name}_max = {room}")


def _hash(key: Key) -> bytes:
    return blake2b(key.key.reveal().encode(), digest_size=16).digest()

"""Decides what a reload changes, what has to wait for a restart, and how both are said."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from operator import attrgetter
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from .. import units
from ..model import Certificate, Config, ConfigError, Key, Listener, Problem, Rate, Route
from ..settings import BY_NAME, SETTINGS
from .fields import show

NAMES_SHOWN = 10  # of routes, plans and upstreams; of accounts and keys, which may be millions, none
# Credentials, or too long for a line.
_HIDDEN = (
    "set_headers",
    "targets",
    "prices",
    "tls",
    "keys",
    "headers",
    "candidates",
    "models",
    "messages",
    "parameters",
    "inputs",
    "output",
)
_SUFFIXES = ("_nanos", "_ms", "_s")
_WRITTEN = {
    "day_quota": "requests_per_day",
    "month_quota": "requests_per_month",
    "day_tokens": "tokens_per_day",
    "month_tokens": "tokens_per_month",
    "idempotency_window_ms": "idempotency",
    "candidates": "targets or prices",
}
_NOTHING = '""'
_NAME: Callable[[Any], Hashable] = attrgetter("name")
_CAPACITIES = ("keys", "accounts", "routes")

Item = TypeVar("Item", bound=Struct)


class ReloadReport(Struct, frozen=True):
    """What is to be served from now on, and what that changes.

    `config` is the new one with the settings that need a restart as they are. `changes` and `restart` are lines
    for people: what is different from now on, and what would be after a restart.
    """

    config: Config
    changes: tuple[str, ...]
    restart: tuple[str, ...]

    def lines(self) -> list[str]:
        """All of it, at least one line."""
        waiting = [f"{line} (needs a restart, and stays as it is)" for line in self.restart]
        return [*(self.changes or ("nothing has changed",)), *waiting]


def reload_report(old: Config, new: Config) -> ReloadReport:
    """What it means to go from the configuration that is served to one just read; no line holds a secret.

    What accounts_file and keys_file hold is not compared. Raises `ConfigError` where the new one has no room in
    what was made at the start.
    """
    changes: list[str] = []
    restart: list[str] = []
    kept: dict[str, Any] = {}
    for row in SETTINGS:
        before, after = getattr(old.server, row.attribute), getattr(new.server, row.attribute)
        if before == after:
            continue
        line = f"server.{row.name}: {row.show(before) or _NOTHING} → {row.show(after) or _NOTHING}"
        if row.reloadable and not _makes_other_listener(row.name, before, after):
            changes.append(line)
        else:
            restart.append(line)
            kept[row.attribute] = before
    restart += _differences("listeners", _besides(old), _besides(new), attrgetter("address"), None)
    _refuse_without_room(old, new)
    new = msgspec.structs.replace(new, certificates=_certificates(old, new))
    _refuse_without_certificates(old, new)
    for noun, before, after in (
        ("upstreams", old.upstreams, new.upstreams),
        ("routes", _others(old.routes), _others(new.routes)),
        ("plans", old.plans, new.plans),
        ("providers", old.providers, new.providers),
        ("models", old.models, new.models),
    ):
        changes += _differences(noun, before, after, _NAME, _describe)
    changes += _differences("prompts", old.prompts, new.prompts, attrgetter("whole_name"), _describe)
    changes += _differences("accounts", old.accounts, new.accounts, _NAME, None)
    changes += _differences("keys", old.keys, new.keys, _secret, None)
    changes += _differences("tags", old.tags, new.tags, attrgetter("account", "name"), None)
    changes += _differences("certificates", old.certificates, new.certificates, attrgetter("certificate"), None)
    if old.client_ca != new.client_ca and old.server.client_ca == new.server.client_ca:
        changes.append("server.client_ca: the file has changed")
    server = msgspec.structs.replace(new.server, **kept)
    config = msgspec.structs.replace(new, server=server, listeners=old.listeners)
    return ReloadReport(config, tuple(changes), tuple(restart))


def _named(routes: Sequence[Route]) -> list[Route]:
    """The first of each name: a route to models is served as several."""
    return list({route.name: route for route in reversed(routes)}.values())[::-1]


def _others(routes: Sequence[Route]) -> list[Route]:
    """Those of the file: what a prompt's route says is told of the prompt."""
    return [route for route in _named(routes) if not route.prompt]


def _besides(config: Config) -> list[Listener]:
    """The listeners other than that of server.listen, which is a setting."""
    return [listener for listener in config.listeners if listener.address != config.server.listen_address]


def _makes_other_listener(name: str, before: object, after: object) -> bool:
    """Whether a setting makes `listen` HTTPS, or plain: the listener stays what it is until a restart."""
    return name in ("tls_certificate", "tls_key") and not (before and after)


def _certificates(old: Config, new: Config) -> tuple[Certificate, ...]:
    """Those to be shown from now on; that of `listen`, the first, goes or comes with a restart alone."""
    was, becomes = bool(old.server.tls_certificate), bool(new.server.tls_certificate)
    if was == becomes:
        return new.certificates
    return (old.certificates[0], *new.certificates) if was else new.certificates[1:]


def _secret(key: Key) -> Hashable:
    return key.key.reveal()


def _refuse_without_room(old: Config, new: Config) -> None:
    problems = []
    for noun in _CAPACITIES:
        row = BY_NAME[f"{noun}_max"]
        things = _named(new.routes) if noun == "routes" else getattr(new, noun)
        count, room = len(things), getattr(old.server, row.attribute)
        if count > room:
            rule = f"there are {count} {noun}, and a larger server.{row.name} needs a restart"
            problems.append(Problem("reload", f"server.{row.name} = {room}: {rule}"))
    if problems:
        raise ConfigError(problems)


def _refuse_without_certificates(old: Config, new: Config) -> None:
    """Listeners stay as they are until a restart, and need what they show and ask for."""
    problems = []
    if any(door.tls for door in old.listeners) and not new.certificates:
        rule = "a listener is HTTPS, and would have no certificate; a restart can make it plain"
        problems.append(Problem("reload", f"certificates: {rule}"))
    if any(door.client_certificates != "off" for door in old.listeners) and not new.client_ca:
        rule = "a listener asks for client certificates; a restart can make it ask no more"
        problems.append(Problem("reload", f'server.client_ca = "": {rule}'))
    if problems:
        raise ConfigError(problems)


def _differences(
    noun: str,
    old: Sequence[Item],
    new: Sequence[Item],
    identity: Callable[[Item], Hashable],
    describe: Callable[[Item, Item], str] | None,
) -> Iterator[str]:
    """ "routes: 1 added (b), 1 changed (a: price 0.001 → 0.002)", or nothing; without `describe` counts alone."""
    before = {identity(item): item for item in old}
    after = {identity(item): item for item in new}
    added = [after[key] for key in after if key not in before]
    removed = [before[key] for key in before if key not in after]
    changed = [(before[key], item) for key, item in after.items() if key in before and before[key] != item]
    parts = []
    for verb, number, words in (
        ("added", len(added), (item.name for item in added) if describe else ()),  # type: ignore[attr-defined]
        ("removed", len(removed), (item.name for item in removed) if describe else ()),  # type: ignore[attr-defined]
        ("changed", len(changed), (describe(*pair) for pair in changed) if describe else ()),
    ):
        if number:
            parts.append(f"{number} {verb}{_list(list(words))}")
    if parts:
        yield f"{noun}: {', '.join(parts)}"


def _list(words: list[str]) -> str:
    if not words:
        return ""
    more = [f"and {len(words) - NAMES_SHOWN} more"] if len(words) > NAMES_SHOWN else []
    return f" ({'; '.join(words[:NAMES_SHOWN] + more)})"


def _describe(before: Any, after: Any) -> str:
    """ "a: price 0.001 → 0.002, set_headers" of two structs of one name."""
    differences = []
    for field in before.__struct_fields__:
        was, now = getattr(before, field), getattr(after, field)
        if was != now:
            name = _WRITTEN.get(field, field)
            for suffix in _SUFFIXES:
                name = name.removesuffix(suffix)
            differences.append(name if field in _HIDDEN else f"{name} {_shown(field, was)} → {_shown(field, now)}")
    return f"{after.name}: {', '.join(differences)}"


def _shown(field: str, value: Any) -> str:
    match value:
        case None:
            return "none"
        case Rate():
            return f"{units.format_rate(value.count, value.period_ns)} burst {value.burst}"
        case tuple():
            return "[" + ", ".join(map(str, value)) + "]"
    if field.endswith("_nanos"):
        return units.format_money(value)
    if field.endswith("_ms"):
        return units.format_duration(value)
    return show(value) if isinstance(value, bool) or value == "" else str(value)

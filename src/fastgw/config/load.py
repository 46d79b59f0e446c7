"""Decides what configuration a file, flags and the environment make together, or all that is wrong in it."""

import os
import re
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from msgspec import Struct

from .. import addresses
from ..model import Config, ConfigError, Problem
from ..published import Source
from ..settings import BY_NAME, SETTINGS, Server, Setting
from . import route_flags
from .fields import Report, show, unknown
from .listeners import ARRAYS as FRONT
from .listeners import read_front
from .tables import ARRAYS, read_tables
from .toml_lines import Lines, Path

_AT = re.compile(r"(.*) \(at (?:line ([0-9]+), column ([0-9]+)|end of document)\)", re.DOTALL)
_ROUTE_FLAG_NAMES = frozenset(row.name for row in route_flags.ROUTE_FLAGS)
DEFAULT = "default"
STDOUT = "-"


class Loaded(Struct, frozen=True):
    """A configuration and where it came from.

    `origins` has "fastgw.toml:3", "--workers", "FASTGW_WORKERS" or "default" for the name of each setting,
    `locate` says as much for a path of the tables.
    """

    config: Config
    origins: Mapping[str, str]
    locate: Callable[[Path], str]


def load(path: str | None, flags: Mapping[str, object], environ: Mapping[str, str]) -> Config:
    """The checked configuration of a TOML file (or none), flags by name in snake_case, and the environment.

    Of a setting given more than once the flag wins, then the variable `FASTGW_…`, then the file. Flags that
    are None, False or () are not given, nor are empty variables. Nothing is bound, created or kept open.
    Raises `ConfigError` with every problem found.
    """
    return read(path, flags, environ).config


def read(path: str | None, flags: Mapping[str, object], environ: Mapping[str, str]) -> Loaded:
    """`load`, with the origin of what it found."""
    flags = {name: value for name, value in flags.items() if not (value is None or value is False or value == ())}
    if strangers := flags.keys() - BY_NAME.keys() - _ROUTE_FLAG_NAMES:
        raise TypeError(f"no such flags: {sorted(strangers)}")

    problems: list[Problem] = []
    document, locate_in_file, is_readable = _read_file(path, problems)
    report = Report(locate_in_file, os.path.dirname(os.path.abspath(path)) if path else "")
    _refuse_strangers(document, report)
    values, origins = _settings(document.get("server", {}), path, report, flags, environ)
    if document.get("listeners") and origins["listen"] == DEFAULT:
        values["listen_address"] = ""
    front = read_front(document, report, values, origins)
    given = route_flags.collect(flags, environ, problems)
    tables: Mapping[str, Any] = document
    misuse = _refuse_mixture(given, document, path) if is_readable else None
    if misuse is not None:
        problems.append(misuse)
    elif is_readable and any(name in given for name in route_flags.ROOTS):
        has_files = (bool(values["keys_file"]), bool(values["accounts_file"]))
        problems += route_flags.refuse_incomplete(given, *has_files)
        tables = route_flags.document(given, problems)
        report = _continued(report, route_flags.locator(given))
    found = read_tables(tables, report, environ, bool(values["accounts_file"]))
    config = Config(
        Server(**values), found.upstreams, found.routes, found.accounts, found.keys, found.plans,
        front.listeners, front.certificates, front.client_ca, found.providers, found.models, found.tags,
        found.prompts,
    )  # fmt: skip
    problems += report.problems
    if not problems:
        problems = _contradictions(config, origins, path or "")
    if problems:
        raise ConfigError(problems)
    return Loaded(config, origins, report.locate)


def _continued(report: Report, locate: Callable[[Path], str]) -> Report:
    later = Report(locate, report.base)
    later.problems = report.problems
    return later


def read_again(source: Source) -> Loaded:
    """What a gateway that was started from `source` would be started with now; for a reload.

    Raises `ConfigError` with every problem found.
    """
    return read(source.config_file, source.flags, source.environment)


def source_of(loaded: Loaded, path: str | None, flags: Mapping[str, object], environ: Mapping[str, str]) -> Source:
    """Where `read` with the same arguments has read `loaded`, for `read_again` in another process of this directory."""
    given: dict[str, str | bool | tuple[str, ...]] = {}
    for name, value in flags.items():
        if isinstance(value, str | bool | tuple) and value not in (False, ()):
            given[name] = value
    texts = {name: value for name, value in environ.items() if _is_text(name + value)}
    return Source(None if path is None else os.path.abspath(path), given, texts, dict(loaded.origins))


def _is_text(value: str) -> bool:
    """Bytes of the environment that are not UTF-8 are no part of any setting or header."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def read_settings(
    names: Collection[str], path: str | None, flags: Mapping[str, object], environ: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The value by attribute and the origin by name of a few settings, whatever the rest of the file says.

    For commands beside a gateway, which need neither its keys nor its environment. Raises `ConfigError`.
    """
    problems: list[Problem] = []
    document, locate, _ = _read_file(path, problems)
    report = Report(locate)
    table = document.get("server", {})
    named = {name: table[name] for name in names if name in table} if isinstance(table, dict) else table
    values, origins = _settings(named, path, report, flags, environ, [BY_NAME[name] for name in names])
    if problems or report.problems:
        raise ConfigError(problems + report.problems)
    return values, origins


def _read_file(path: str | None, problems: list[Problem]) -> tuple[dict[str, Any], Callable[[Path], str], bool]:
    """The document, where its parts are written, and whether it could be read at all."""
    if path is None:
        return {}, lambda _: "--upstream", True
    try:
        with open(path, "rb") as file:
            text = file.read().decode()
        lines = Lines(text)
        return tomllib.loads(text), lambda place: f"{path}:{lines.line(place)}", True
    except OSError as error:
        problems.append(Problem(path, f"cannot be read: {error.strerror}"))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        problems.append(Problem(f"{path}:{line}", "is not UTF-8, which TOML requires"))
    except RecursionError:
        problems.append(Problem(path, "is nested too deeply"))
    except ValueError as error:
        problems.append(_syntax_problem(path, text, str(error)))
    return {}, lambda _: path, False


def _syntax_problem(path: str, text: str, message: str) -> Problem:
    match = _AT.fullmatch(message)
    if match is None:
        return Problem(path, f"is not TOML: {message}")
    line = match[2] or text.rstrip().count("\n") + 1
    column = f":{match[3]}" if match[3] else ""
    return Problem(f"{path}:{line}{column}", f"is not TOML: {match[1]}")


def _refuse_strangers(document: Mapping[str, Any], report: Report) -> None:
    for name in document:
        if name in BY_NAME:
            report.refuse((name,), "belongs under [server]")
        elif name not in (known := ("server", *ARRAYS, *FRONT)):
            report.refuse((name,), unknown(name, known))


def _refuse_mixture(
    given: Mapping[str, route_flags.Given], document: Mapping[str, Any], path: str | None
) -> Problem | None:
    """Routes come from a file or from flags, never from both, and from one of them they must come."""
    in_file = [name for name in ARRAYS if name in document]
    roots = [entry for name, entry in given.items() if name in route_flags.ROOTS]
    others = [entry for name, entry in given.items() if name not in route_flags.ROOTS]
    if len(roots) > 1:
        return Problem(roots[1].where, f"cannot be together with {roots[0].where}; a file has room for both")
    if roots and in_file:
        rule = f"{path} has [[{in_file[0]}]] already; describe routes in one place"
        return Problem(roots[0].where, rule)
    if not roots and others and in_file:
        return Problem(others[0].where, f"describes the route of --upstream, but the routes are in {path}")
    if not roots and others:
        return Problem(others[0].where, "describes the route of --upstream URL, which is missing")
    if not roots and not document.get("routes") and not document.get("prompts"):
        if path:
            return Problem(path, "has no [[routes]]: add one, or give --upstream URL")
        return Problem("--upstream", "is missing: give it, or --provider NAME, or -c FILE")
    return None


def _settings(
    table: Any,
    path: str | None,
    report: Report,
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    rows: Sequence[Setting] = SETTINGS,
) -> tuple[dict[str, Any], dict[str, str]]:
    """The value by attribute and the origin by name of every row; refused ones have their default."""
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    if not isinstance(table, dict):
        report.refuse(("server",), "must be one table, written [server]")
        table = {}
    for name in table:
        if name not in BY_NAME:
            report.refuse(("server", name), unknown(name, tuple(BY_NAME)))
    base = os.path.dirname(os.path.abspath(path)) if path else ""
    for row in rows:
        values[row.attribute], origins[row.name] = row.default_value(environ), DEFAULT
        for where, raw, relative_to in (
            (report.locate(("server", row.name)), table.get(row.name), base),
            (row.variable, _from_text(row, environ.get(row.variable) or None), os.getcwd()),
            (row.flag, _from_text(row, flags.get(row.name)), os.getcwd()),
        ):
            if raw is None:
                continue
            try:
                value = row.parse(raw)
            except ValueError as error:
                report.problems.append(Problem(where, f"server.{row.name} = {show(raw)}: {error}"))
                continue
            if row.kind in ("path", "file") and value and value != STDOUT:
                value = os.path.normpath(os.path.join(relative_to, str(value)))
            values[row.attribute], origins[row.name] = value, where
    return values, origins


def _can_append(file: str) -> bool:
    if os.path.exists(file):
        return not os.path.isdir(file) and os.access(file, os.W_OK)
    return os.access(os.path.dirname(file), os.W_OK | os.X_OK)


def _from_text(row: Setting, raw: object) -> object:
    """Flags and variables hold text where a file holds an integer or a boolean."""
    return row.from_text(raw) if isinstance(raw, str) else raw


def _contradictions(config: Config, origins: Mapping[str, str], path: str) -> list[Problem]:
    """Settings that are each allowed but not together, or not with the tables."""
    server = config.server
    found: list[tuple[str, str]] = []
    if not config.listeners:
        found.append(("listen", "nobody could connect: give an address, or add [[listeners]]"))
    listen, admin = server.listen_address, server.admin_address
    if listen and admin and addresses.overlap(listen, admin):
        name, other = ("listen", "admin") if origins["admin"] == DEFAULT else ("admin", "listen")
        address = getattr(server, BY_NAME[other].attribute)
        found.append((name, f"meets server.{other} = {show(address)} on one port"))
    for name in ("keys_file", "accounts_file"):
        file = getattr(server, name)
        if file and not (os.path.isfile(file) and os.access(file, os.R_OK)):
            found.append((name, "is not a file that can be read"))
    log = server.access_log
    if log not in ("", STDOUT) and not _can_append(log):
        found.append(("access_log", "is not a file that can be written to"))
    for name, count, things in (
        ("keys_max", len(config.keys), "keys"),
        ("accounts_max", len(config.accounts), "accounts"),
        ("routes_max", len({route.name for route in config.routes}), "routes"),
    ):
        if count > getattr(server, name):
            found.append((name, f"there are {count} {things}"))
    problems = []
    for name, rule in found:
        row = BY_NAME[name]
        where = path or row.flag if origins[name] == DEFAULT else origins[name]
        value = getattr(server, row.attribute)
        value = row.show(value) if row.kind == "address" else value
        problems.append(Problem(where, f"server.{name} = {show(value)}: {rule}"))
    return problems

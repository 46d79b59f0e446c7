"""Decides how docs/configuration.md is made: every setting and field from the tables that the readers read by.

`python -m fastgw.config.reference` prints it.
"""

from collections.abc import Iterator, Sequence
from datetime import time
from typing import Any

from msgspec import structs

from .. import units
from ..settings import GROUPS, SETTINGS, Setting, defaults
from .fields import Report, dotted
from .listeners import read_front
from .manual import TABLES, Row, Table
from .tables import read_tables

_REFUSED = time(7, 32)  # a value of TOML's that no field takes: it is refused with the rule of the field
_HEAD = """\
<!-- Made by `python -m fastgw.config.reference`; edit src/fastgw/settings.py and src/fastgw/config/manual.py. -->

# Configuration

Everything that `fastgw serve -c fastgw.toml` reads, by table. `fastgw check -c fastgw.toml` says what is wrong in a
file, by line; `fastgw check -c fastgw.toml --show` lists the settings in force and where each comes from.

**How it is written.** TOML 1.0. Durations are written `"500ms"`, `"30s"`, `"2m"`, `"1h"` or `"7d"`, sizes `"8KiB"`,
`"64MiB"` or `"1GiB"`; amounts of money are decimal strings in the currency's unit, `"0.001"`; rates are a number per
`s`, `m`, `h` or `d`, `"100/s"`. Paths of files are relative to the folder of the file that names them.

**What a reload changes.** `SIGHUP`, `fastgw reload` or `watch = true` bring everything into force but what is marked
*restart*; see [operations](operations.md#reload).
"""
_SERVER = """\
## [server]

Each is also an option of `fastgw serve` and a variable of the environment: `head_timeout` is `--head-timeout` and
`FASTGW_HEAD_TIMEOUT`. An option wins over the environment, the environment over the file.
"""


def reference() -> str:
    """The whole document, in Markdown."""
    parts = [_HEAD, _contents(), _SERVER]
    parts += [_settings(group, [row for row in SETTINGS if row.group == group]) for group in GROUPS]
    parts += map(_table, TABLES)
    return "\n".join(parts)


def _contents() -> str:
    headings = ["[server]", *(table.heading for table in TABLES)]
    return " · ".join(f"[`{heading}`](#{anchor(heading)})" for heading in headings) + "\n"


def anchor(heading: str) -> str:
    """What GitHub makes of a heading: lower case, without punctuation, hyphens for spaces."""
    kept = (character for character in heading.lower() if character.isalnum() or character in " -_")
    return "".join(kept).replace(" ", "-")


def _settings(group: str, rows: Sequence[Setting]) -> str:
    lines = [f"### {group}\n", "| setting | holds | default | |", "|---|---|---|---|"]
    for row in rows:
        default = row.show_default()
        is_value = not (callable(row.default) or row.default_help)
        shown = f"`{_written(row)}`" if is_value else default
        lines.append(_line(f"`{row.name}`", _form(row.rule), shown, row.help, restart=not row.reloadable))
    return "\n".join(lines) + "\n"


def _written(row: Setting) -> str:
    """The default as the file would say it."""
    match row.kind:
        case "integer" | "power-of-two":
            return row.show_default()
        case "switch":
            return "true" if row.default else "false"
        case "networks":
            return "[]"
        case _:
            return f'"{row.show_default()}"'


def _table(table: Table) -> str:
    lines = [f"## {table.heading}\n", _about(table), "", "| field | holds | default | |", "|---|---|---|---|"]
    forms = rules(table)
    for row in table.rows:
        form = row.form or _form(forms[row.name])
        lines.append(_line(f"`{row.name}`", form, _default(row), _help(row, form), restart=False))
    return "\n".join(lines) + "\n"


def _about(table: Table) -> str:
    return table.about + (" A change needs a restart." if table.restart else "")


def _default(row: Row) -> str:
    if not row.default:
        return "**required**"
    return row.default[1:-1] if row.default.startswith("(") else f"`{row.default}`"


def _help(row: Row, form: str) -> str:
    needs = f" Needs `{'`, `'.join(row.needs)}`." if row.needs else ""
    return f"{row.help}{needs}" + (f" E.g. `{row.example}`." if _teaches(row, form) else "")


def _teaches(row: Row, form: str) -> bool:
    """Whether the example says more than form and default do."""
    silent = row.default.startswith("(") or row.default in ("", "0", '"0"', "[]", "{}")
    return silent and row.example not in ("true", "false", *form.split("`"))


def _form(rule: str) -> str:
    """What follows "must be" of a rule, with strings as code; how durations and sizes are written is said once."""
    for form in (units.DURATION_FORM, units.SIZE_FORM):
        rule = rule.replace(f", {form}", "")
    return _code(rule.removeprefix("must ").removeprefix("be "))


def _code(text: str) -> str:
    """Every string in quotes as code."""
    pieces = text.split('"')
    if len(pieces) % 2 == 0:
        return text
    return "".join(f'`"{piece}"`' if number % 2 else piece for number, piece in enumerate(pieces))


def _line(*cells: str, restart: bool) -> str:
    *first, last = (cell.replace("|", r"\|").replace("\n", " ") for cell in cells)
    return "| " + " | ".join([*first, last + (" *restart*" if restart else "")]) + " |"


def rules(table: Table) -> dict[str, str]:
    """What the reader of a table answers, by field, to a value that no field takes."""
    asked: dict[str, Any] = dict.fromkeys(table.names, _REFUSED)
    *outer, name = table.name.split(".")
    document: dict[str, Any] = {table.name: [asked]}
    place = f"{table.name}[0]"
    if outer:
        document = {outer[0]: [{name: [asked] if table.is_array else asked}]}
        place = f"{outer[0]}[0].{name}"
    asking = _Asked()
    read_front(document, asking, structs.asdict(defaults({})), {})
    read_tables(document, asking, {}, accounts_elsewhere=True)
    return dict(asking.answers(place))


class _Asked(Report):
    """Keeps every rule by the place it was answered for."""

    def __init__(self) -> None:
        super().__init__(dotted)
        self.rules: dict[str, str] = {}

    def refuse(self, path: Any, rule: str, value: object = None) -> None:
        super().refuse(path, rule, value)
        self.rules.setdefault(dotted(path), rule)

    def answers(self, place: str) -> Iterator[tuple[str, str]]:
        for path, rule in self.rules.items():
            parent, _, name = path.rpartition(".")
            if parent == place:
                yield name, rule


if __name__ == "__main__":
    print(reference(), end="")

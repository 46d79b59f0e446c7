"""Decides how answers look: tables on a terminal, plain aligned columns elsewhere, JSON when asked for."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

_STYLES = {
    "active": "green", "suspended": "yellow", "expired": "yellow", "closed": "red", "revoked": "red", "yes": "green",
    "ok": "green", "resting": "yellow", "refused": "red", "unpaid": "red", "no": "red", "up": "green",
    "drained": "yellow", "ejected": "yellow", "down": "red", "unknown": "red",
}  # fmt: skip


class Column(Struct, frozen=True):
    """A heading and what stands below it for one item; numbers and money to the right."""

    heading: str
    cell: Callable[[Mapping[str, Any]], object]
    right: bool = False


def field(name: str, heading: str = "", right: bool = False) -> Column:
    """The column of a member, "a.b" for one inside another."""
    return Column(heading or name.rpartition(".")[2].replace("_", " "), lambda item: value_at(item, name), right)


def value_at(item: Any, name: str) -> Any:
    """A member, "a.b" for one inside another; None where there is none."""
    for part in name.split("."):
        item = item.get(part) if isinstance(item, Mapping) else None
    return item


def text(value: object) -> str:
    """A value for people, on one line whatever it holds: nobody's bytes can move a cursor or forge a line."""
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case str():
            return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)
        case list() | tuple():
            return ", ".join(map(text, value)) or "-"
    return str(value)


def moment(value: object) -> str:
    """An RFC 3339 moment to the second."""
    written = text(value)
    head, point, rest = written.partition(".")
    return head + rest.lstrip("0123456789") if point else written


def is_terminal() -> bool:
    return sys.stdout.isatty()


def print_json(value: object) -> None:
    """One document; in ASCII, so that no text in it can be a command to the terminal."""
    print(json.dumps(value, indent=2 if is_terminal() else None))


def print_table(items: Iterable[Mapping[str, Any]], columns: Sequence[Column], nothing: str) -> None:
    """One line an item, under headings; `nothing` is said where there is none."""
    rows = [[_cell(column, item) for column in columns] for item in items]
    if not rows:
        print(nothing, file=sys.stderr)
        return
    if is_terminal():
        table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
        for number, column in enumerate(columns):  # the first is a name, to be copied whole
            justify: Literal["left", "right"] = "right" if column.right else "left"
            table.add_column(column.heading, justify=justify, overflow="fold", no_wrap=number == 0)
        for row in rows:
            table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
        Console().print(table)
        return
    for line in aligned([[column.heading for column in columns], *rows], [column.right for column in columns]):
        print(line)


def aligned(rows: Sequence[Sequence[str]], rights: Sequence[bool]) -> list[str]:
    """Lines of columns two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, rights, strict=True)
        ).rstrip()
        for row in rows
    ]


def print_facts(facts: Iterable[tuple[str, object]]) -> None:
    """One "name  value" a line."""
    rows = [(name, text(value)) for name, value in facts]
    if is_terminal():
        grid = Table.grid(padding=(0, 2))
        for name, value in rows:
            grid.add_row(Text(name, style="bold"), Text(value, style=_STYLES.get(value, "")))
        Console().print(grid)
        return
    for line in aligned(rows, (False, False)):
        print(line)


def _cell(column: Column, item: Mapping[str, Any]) -> str:
    value = column.cell(item)
    return value if isinstance(value, str) and value and value.isprintable() else text(value)

"""Reads the Markdown of the manual: its blocks of code, headings and links, each with the line it stands on."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

_FENCE = re.compile(r"```(\w*)")
_MARK = re.compile(r"<!-- (\w+) -->")
_HEADING = re.compile(r"(#{1,6}) (.+)")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """Lines between two fences; `mark` is the word of a comment right above, "" without."""

    page: Path
    line: int
    language: str
    mark: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "".join(f"{line}\n" for line in self.lines)

    @property
    def name(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of code of a page."""
    above, start, language = "", 0, ""
    lines: list[str] = []
    for number, line in enumerate(page.read_text().splitlines(), 1):
        fence = _FENCE.fullmatch(line)
        if start and line == "```":
            yield Block(page, start, language, above, tuple(lines))
            start, above = 0, ""
        elif start:
            lines.append(line)
        elif fence:
            start, language, lines = number, fence[1], []
        else:
            mark = _MARK.fullmatch(line)
            above = mark[1] if mark else ""


def prose(page: Path) -> Iterator[tuple[int, str]]:
    """(number, line) of every line that is not in a block of code."""
    inside = False
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if line.startswith("```"):
            inside = not inside
        elif not inside:
            yield number, line


def headings(page: Path) -> list[str]:
    return [match[2] for _, line in prose(page) if (match := _HEADING.fullmatch(line))]


def links(page: Path) -> Iterator[tuple[int, str]]:
    """(line, target) of every link."""
    for number, line in prose(page):
        for match in _LINK.finditer(line):
            yield number, match[1]


def sections(page: Path) -> Iterator[tuple[str, str]]:
    """(heading, text) of every part of a page, blocks of code included; what stands before the first has none."""
    heading, inside = "", False
    lines: list[str] = []
    for line in page.read_text().splitlines():
        inside ^= line.startswith("```")
        match = None if inside else _HEADING.fullmatch(line)
        if match:
            yield heading, "\n".join(lines)
            heading, lines = match[2], []
        lines.append(line)
    yield heading, "\n".join(lines)


def table_rows(text: str, heads: tuple[str, ...]) -> list[list[str]]:
    """The cells of the rows of every table in a text whose first cells are `heads`."""
    rows: list[list[str]] = []
    wanted = False
    for line in text.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] if line.startswith("|") else []
        if not cells:
            wanted = False
        elif tuple(cells[: len(heads)]) == heads:
            wanted = True
        elif wanted and not set(cells[0]) <= set("-: "):
            rows.append(cells)
    return rows


def explained(page: Path) -> dict[str, str]:
    """The kind of every metric that a page explains, by its name."""
    return {row[0].strip("`"): row[1] for row in table_rows(dict(sections(page))["Every metric"], ("metric", "kind"))}

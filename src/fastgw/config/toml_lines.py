"""Decides on which line of a TOML document a value was written, which the standard parser does not tell."""

import json
import re
from bisect import bisect_right

Path = tuple[str | int, ...]

# Strings come whole, so that a bracket, a "#" or what looks like a header inside one is not taken for one.
_TOKEN = re.compile(
    r'''
      (?P<string>  """(?:\\[\s\S]|(?!""")[^\\])*"{3,5}
                 | \'\'\'(?:(?!\'\'\')[\s\S])*'{3,5}
                 | "(?:\\.|[^"\\\n])*"
                 | '[^'\n]*' )
    | (?P<comment> \#[^\n]* )
    | (?P<newline> \n )
    | (?P<mark>    [\[\]{}=] )
    | (?P<bare>    [A-Za-z0-9_-]+ )
    ''',
    re.VERBOSE,
)


class Lines:
    """The line of every table and key of one valid document, found by one scan at the first question."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._found: dict[Path, int] | None = None

    def line(self, path: Path) -> int:
        """The line (from 1) of `path`, such as ("routes", 0, "price"), or of the nearest thing around it."""
        if self._found is None:
            self._found = _scan(self._text)
        for length in range(len(path), 0, -1):
            if (line := self._found.get(path[:length])) is not None:
                return line
        return 1


def _scan(text: str) -> dict[Path, int]:
    found: dict[Path, int] = {}
    breaks = [match.start() for match in re.finditer("\n", text)]
    last_index: dict[Path, int] = {}
    table: Path = ()
    names: list[str] = []
    brackets = depth = 0
    in_value = False
    for match in _TOKEN.finditer(text + "\n"):
        kind, token = match.lastgroup, match[0]
        if kind == "mark" and in_value:
            depth += (token in "[{") - (token in "]}")
        elif kind == "mark" and token == "[":
            brackets += 1
        elif kind == "mark" and token == "=":
            _note(found, _resolve(table, names, last_index), bisect_right(breaks, match.start()) + 1)
            in_value = True
        elif kind in ("bare", "string") and not in_value:
            names.append(_unquoted(token))
        elif kind == "newline" and depth == 0:
            if brackets and names and not in_value:
                table = _enter(names, brackets == 2, last_index)
                _note(found, table, bisect_right(breaks, match.start() - 1) + 1)
            names, brackets, in_value = [], 0, False
    return found


def _enter(names: list[str], is_array: bool, last_index: dict[Path, int]) -> Path:
    path = (*_resolve((), names[:-1], last_index), names[-1])
    if is_array:
        last_index[path] = last_index.get(path, -1) + 1
    return (*path, last_index[path]) if path in last_index else path


def _resolve(table: Path, names: list[str], last_index: dict[Path, int]) -> Path:
    """`names` below `table`; a name of an array of tables means its latest element, as TOML has it."""
    path = table
    for name in names:
        path = (*path, name)
        if path in last_index:
            path = (*path, last_index[path])
    return path


def _note(found: dict[Path, int], path: Path, line: int) -> None:
    for length in range(1, len(path) + 1):
        found.setdefault(path[:length], line)


def _unquoted(token: str) -> str:
    if token.startswith("'"):
        return token[1:-1]
    if token.startswith('"'):
        try:
            return str(json.loads(token))
        except ValueError:  # an escape that JSON has not: the name only serves to find a line
            return token[1:-1]
    return token

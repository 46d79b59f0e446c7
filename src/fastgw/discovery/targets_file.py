"""Decides what a targets_file says: a target a line, or a JSON array of the same as `targets`; whole or not at all."""

import json
import os

from ..config.fields import HoldsSecretError, show
from ..config.upstreams import parse_target
from ..model import Target
from ..roster import name_of

LOOK_S = 0.25  # between looks; what has changed is read when it has stayed so from one to the next
SIZE_MAX = 4 << 20  # bytes; some 60,000 targets
_SPACE = " \t\r\n"
_DECODER = json.JSONDecoder()


class BrokenError(Exception):
    """The file cannot be taken; the message says where and why: "targets.txt:3: …"."""


class TargetsFile:
    """A file and what it said last. `look` is called again and again, every LOOK_S."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.targets: tuple[Target, ...] | None = None  # until it could be taken for the first time
        self.problem = ""
        self._seen: tuple[int, int, int] | None = None
        self._taken: tuple[int, int, int] | None = None

    def look(self, at_once: bool = False) -> bool:
        """Whether it has been read, because it is another than before and stays so; `at_once` waits for no second look.

        What is broken leaves `targets` as they were and is said in `problem`.
        """
        try:
            status = os.stat(self.path)
            now = (status.st_mtime_ns, status.st_ino, status.st_size)
        except OSError as error:
            now = (0, error.errno or 0, 0)
        stays, self._seen = at_once or now == self._seen, now
        if not stays or now == self._taken:
            return False
        self._taken = now
        try:
            self.targets, self.problem = read(self.path), ""
        except BrokenError as error:
            self.problem = str(error)
        return True


def read(path: str) -> tuple[Target, ...]:
    """Raises BrokenError."""
    try:
        with open(path, "rb") as file:
            data = file.read(SIZE_MAX + 1)
        if len(data) > SIZE_MAX:
            raise BrokenError(f"{path}: is larger than {SIZE_MAX >> 20} MiB")
        text = data.decode()
    except OSError as error:
        raise BrokenError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise BrokenError(f"{path}:{data[: error.start].count(10) + 1}: is no UTF-8") from None
    items = _array(path, text) if text.lstrip(_SPACE).startswith("[") else _lines(path, text)
    found: dict[str, Target] = {}
    for line, item in items:
        try:
            target = parse_target(item)
            if found.setdefault(name_of(target), target) is not target:
                raise ValueError(f"{name_of(target)} is there twice")
        except HoldsSecretError as error:
            raise BrokenError(f"{path}:{line}: {error}") from None
        except ValueError as error:
            raise BrokenError(
                f"{path}:{line}: {show(item.get('url') if isinstance(item, dict) else item)}: {error}"
            ) from None
    return tuple(found.values())


def _lines(path: str, text: str) -> list[tuple[int, object]]:
    """(line, what `targets` would hold) of each "URL weight=2 expand=true"; "#" begins a comment."""
    items: list[tuple[int, object]] = []
    for number, line in enumerate(text.splitlines(), 1):
        url, *words = line.partition("#")[0].split() or [""]
        if not url:
            continue
        item: dict[str, object] = {"url": url}
        for word in words:
            name, equals, value = word.partition("=")
            if not equals or name in item or name not in ("weight", "expand"):
                raise BrokenError(f'{path}:{number}: "{word}" must be weight=N or expand=true, once')
            item[name] = (
                int(value)
                if value.isdecimal() and value.isascii()
                else {"true": True, "false": False}.get(value, value)
            )
        items.append((number, item))
    return items


def _array(path: str, text: str) -> list[tuple[int, object]]:
    """(line, item) of each item of a JSON array."""
    items: list[tuple[int, object]] = []
    at = _skip(text, text.index("[") + 1)
    try:
        while not text.startswith("]", at):
            if items:
                if not text.startswith(",", at):
                    raise json.JSONDecodeError('expected "," or "]"', text, at)
                at = _skip(text, at + 1)
            line = text.count("\n", 0, at) + 1
            item, end = _DECODER.raw_decode(text, at)
            items.append((line, item))
            at = _skip(text, end)
        if (rest := _skip(text, at + 1)) < len(text):
            raise json.JSONDecodeError("there is more behind the array", text, rest)
    except (json.JSONDecodeError, RecursionError) as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else 1
        raise BrokenError(f"{path}:{line}: is no JSON: {getattr(error, 'msg', error)}") from None
    return items


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at

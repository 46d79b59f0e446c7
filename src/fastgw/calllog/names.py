"""Decides what the numbers in a record are called: account, key, tag, route, target, model, as long as rows need it.

Numbers mean something within one segment only, and the log outlives it: what a row's numbers mean is written down (one
JSON object a line, appended) before the row is, so that rows kept across a reboot still have their names.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import orjson

from .._segment import Segment
from ..roster import Roster
from .arrow import Buffer, Coded, Text, text_of
from .records import Rows

SMALL = 4096  # up to so many words a dictionary is handed over whole
VERSIONS_MAX = 256  # of what targets' numbers meant; rows that are older than those of hours ago have their names


class Names(Protocol):
    """Who knows the names. An account, a key or a tag that it does not know (yet) is called ""."""

    def account(self, index: int) -> str: ...

    def key(self, index: int) -> str: ...

    def tag(self, index: int) -> str: ...

    def routes(self) -> Sequence[str]:
        """Route names by slot."""
        ...

    def models(self) -> Sequence[str]:
        """Names of served models by number − 1."""
        ...

    def targets(self) -> Mapping[int, str]:
        """The servers that calls are sent to, "host:port", by their numbers; another object once it changes."""
        ...


class SegmentNames:
    """Names of a gateway: keys, routes and models as the segment has them, servers as the roster has them.

    `account_of` gives the name of the account with an index, `tag_of` of the tag, "" when it is not known.
    """

    def __init__(
        self, segment: Segment, account_of: Callable[[int], str], tag_of: Callable[[int], str], roster: Roster
    ) -> None:
        self.segment = segment
        self.account = account_of
        self.tag = tag_of
        self._targets: Mapping[int, str] = {}
        self.retarget(roster)

    def key(self, index: int) -> str:
        if index >= self.segment.key_count:
            return ""
        digest: bytes = self.segment.key(index)["digest"]
        return "key_" + digest[:8].hex()

    def routes(self) -> Sequence[str]:
        return self.segment.routes()

    def models(self) -> Sequence[str]:
        return self.segment.models()

    def targets(self) -> Mapping[int, str]:
        return self._targets

    def retarget(self, roster: Roster) -> None:
        """From now on calls are sent by this roster. Who is not in it any more keeps its number until another has it:
        calls to it may still be under way."""
        targets = {**self._targets} | {each.number: each.name for some in roster.upstreams.values() for each in some}
        targets.pop(0, None)
        if targets != self._targets:
            self._targets = targets


class NameTable:
    """Words by number; number 0 is "", and what has no word is called "#" and its index (number − 1).

    One thread sets words; several may read.
    """

    def __init__(self) -> None:
        self.raw: Buffer = np.array([b""], object)  # each word as UTF-8
        self.lengths: Buffer = np.zeros(1, np.int32)
        self.known = np.ones(1, np.bool_)
        self.changes = 0
        self.text = (-1, text_of([]))  # of all words, as they were after so many changes

    def __len__(self) -> int:
        return len(self.raw)

    def unknown(self, numbers: Buffer) -> list[int]:
        """Which of the numbers have no word yet."""
        top = int(numbers.max(initial=0))
        if top >= len(self.raw):
            self._grow(top + 1)
        known = self.known[numbers]
        return [] if known.all() else np.unique(numbers[~known]).tolist()

    def set(self, number: int, word: str) -> None:
        if number >= len(self.raw):
            self._grow(number + 1)
        raw = word.encode()
        self.raw[number] = raw
        self.lengths[number] = len(raw)
        self.known[number] = True
        self.changes += 1

    def _grow(self, size: int) -> None:
        more = max(size, len(self.raw) * 3 // 2) - len(self.raw)
        self.known = np.concatenate([self.known, np.zeros(more, np.bool_)])
        self.lengths = np.concatenate([self.lengths, np.zeros(more, np.int32)])
        self.raw = np.concatenate([self.raw, np.full(more, b"", object)])
        self.changes += 1

    def column(self, numbers: Buffer) -> Coded:
        """The words of the numbers, by dictionary."""
        changes, raw, size = self.changes, self.raw, len(self.raw)
        if size <= SMALL and int(numbers.max(initial=0)) < size:
            after, text = self.text
            if after != changes:
                text = text_of([*map(self.word, range(size))])
                self.text = (changes, text)
            return Coded(numbers.astype(np.int32), text)
        size = max(size, int(numbers.max()) + 1)
        present = np.zeros(size, np.bool_)
        present[numbers] = True
        different = np.flatnonzero(present)
        codes = np.empty(size, np.int32)
        codes[different] = np.arange(len(different), dtype=np.int32)
        if different[-1] >= len(self.known) or not self.known[different].all():
            text = text_of([*map(self.word, different.tolist())])
        else:
            offsets = np.zeros(len(different) + 1, np.int32)
            np.cumsum(self.lengths[different], out=offsets[1:])
            text = Text(offsets, np.frombuffer(b"".join(raw[different].tolist()) or b"\0", np.uint8))
        return Coded(codes[numbers], text)

    def word(self, number: int) -> str:
        if number < len(self.known) and self.known[number]:
            raw: bytes = self.raw[number]
            return raw.decode()
        return f"#{number - 1}"


class NameBook:
    """The names of one segment, kept in `path`. One thread writes; others read what the rows they hold need."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.accounts = NameTable()
        self.keys = NameTable()
        self.tags = NameTable()
        self.routes = NameTable()
        self.models = NameTable()
        self.targets = NameTable()
        self.target_numbers: dict[str, int] = {"": 0}
        self.versions: list[tuple[int, Buffer]] = []  # from when (Unix ns) on; number of a row → number of `targets`
        self.current: Mapping[int, str] | None = None
        self.length = 0
        if path.exists():
            self._load()

    def _load(self) -> None:
        raw = self.path.read_bytes()
        for line in raw.splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break  # of a process killed right there; the rows that would need it were not written
            try:
                self._apply(orjson.loads(line))
            except orjson.JSONDecodeError:
                break
            self.length += len(line)
        if self.length < len(raw):
            os.truncate(self.path, self.length)

    def _apply(self, line: dict[str, Any]) -> None:
        for table in ("accounts", "keys", "tags", "routes", "models"):
            for number, word in line.get(table, {}).items():
                getattr(self, table).set(int(number), word)
        if servers := line.get("servers"):
            self._add_version(line["since_ns"], {int(place): name for place, name in servers.items()})

    def _add_version(self, since_ns: int, names: Mapping[int, str]) -> None:
        """These numbers mean this from then on, the others what they did."""
        before = self.versions[-1][1] if self.versions else np.zeros(1, np.int32)
        table = np.zeros(max(len(before), *(place + 1 for place in names)), np.int32)
        table[: len(before)] = before
        for place, name in names.items():
            table[place] = number = self.target_numbers.setdefault(name, len(self.target_numbers))
            self.targets.set(number, name)
        if self.versions and self.versions[-1][0] == since_ns:
            self.versions.pop()
        self.versions = [*self.versions[-VERSIONS_MAX:], (since_ns, table)]

    def learn(self, rows: Rows, names: Names) -> None:
        """Ask for, and write down, what the rows' numbers are called. Raises OSError when it cannot be written."""
        said: dict[str, Any] = {}
        for field, table, ask in (
            ("account", "accounts", names.account), ("key", "keys", names.key), ("tag", "tags", names.tag),
        ):  # fmt: skip
            new = getattr(self, table).unknown(rows[field])
            words = {str(number): word for number in new if (word := ask(number - 1))}
            if words:
                said[table] = words
        for field, table, list_of in (("route", "routes", names.routes), ("model", "models", names.models)):
            book: NameTable = getattr(self, table)
            if book.unknown(rows[field]) and (more := _new_words(book, list_of())):
                said[table] = {str(number): word for number, word in more.items()}
        targets = names.targets()
        if targets is not self.current and (servers := self._new_servers(targets)):
            said["servers"] = {str(place): name for place, name in servers.items()}
            said["since_ns"] = self._since_ns(servers)
        if said:
            line = orjson.dumps(said) + b"\n"
            self._append(line)
            self._apply(orjson.loads(line))
        self.current = targets

    def _new_servers(self, targets: Mapping[int, str]) -> dict[int, str]:
        table = self.versions[-1][1] if self.versions else np.zeros(0, np.int32)
        known = len(table)
        return {
            place: name
            for place, name in targets.items()
            if place >= known or self.targets.word(int(table[place])) != name or not table[place]
        }

    def _since_ns(self, servers: Mapping[int, str]) -> int:
        """From when on numbers mean what is heard of now: one that meant nothing before has always meant it."""
        if not self.versions:
            return 0
        since_ns, table = self.versions[-1]
        again = any(place < len(table) and table[place] for place in servers)
        return time.time_ns() if again else since_ns

    def _append(self, line: bytes) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, self.length)
            written = os.pwrite(descriptor, line, self.length)
            if written != len(line):
                raise OSError(28, "No space left on device", str(self.path))
        finally:
            os.close(descriptor)
        self.length += len(line)

    def targets_of(self, rows: Rows) -> Coded:
        """The server that each call was sent to, by what its number meant when it began."""
        since = np.array([version[0] for version in self.versions], np.int64)
        if len(since) <= 1 or int(rows["time_ns"].min()) >= since[-1]:
            return self.targets.column(self._targets_in(rows, len(since) - 1))
        which = np.maximum(np.searchsorted(since, rows["time_ns"], "right") - 1, 0)
        numbers = np.zeros(len(rows), np.int32)
        for version in np.unique(which).tolist():
            numbers = np.where(which == version, self._targets_in(rows, version), numbers)
        return self.targets.column(numbers)

    def _targets_in(self, rows: Rows, version: int) -> Buffer:
        if version < 0:
            return np.zeros(len(rows), np.int32)
        table, places = self.versions[version][1], rows["target"]
        found: Buffer = table[np.where(places < len(table), places, 0)]
        return found


def _new_words(table: NameTable, words: Sequence[str]) -> dict[int, str]:
    """Which of the words, numbered from 1 on, the table does not have."""
    table.unknown(np.array([len(words)]))  # makes room
    return {number: word for number, word in enumerate(words, 1) if table.word(number) != word}

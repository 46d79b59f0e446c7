"""Decides what the numbers in a record are called: account, key, route and target, for as long as rows need it.

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
from ..model import Config
from .arrow import Buffer, Coded, Text, text_of
from .records import Rows

SMALL = 4096  # up to so many words a dictionary is handed over whole


class Names(Protocol):
    """Who knows the names. An account or key that it does not know (yet) is called ""."""

    def account(self, index: int) -> str: ...

    def key(self, index: int) -> str: ...

    def routes(self) -> Sequence[str]:
        """Route names by slot."""
        ...

    def targets(self) -> Mapping[str, Sequence[str]]:
        """The targets of each route, "host:port", in the order of their numbers; another object once it changes."""
        ...


class SegmentNames:
    """Names of a gateway: keys and routes as the segment has them, targets of the configuration.

    `account_of` gives the name of the account with an index, "" when it is not known.
    """

    def __init__(self, segment: Segment, account_of: Callable[[int], str], config: Config) -> None:
        self.segment = segment
        self.account = account_of
        self.reload(config)

    def key(self, index: int) -> str:
        if index >= self.segment.key_count:
            return ""
        digest: bytes = self.segment.key(index)["digest"]
        return "key_" + digest[:8].hex()

    def routes(self) -> Sequence[str]:
        return self.segment.routes()

    def targets(self) -> Mapping[str, Sequence[str]]:
        return self._targets

    def reload(self, config: Config) -> None:
        """From now on calls begin under this configuration."""
        upstreams = {
            upstream.name: [f"[{t.host}]:{t.port}" if ":" in t.host else f"{t.host}:{t.port}" for t in upstream.targets]
            for upstream in config.upstreams
        }
        self._targets = {route.name: upstreams[route.upstream] for route in config.routes}


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
        self.routes = NameTable()
        self.targets = NameTable()
        self.target_numbers: dict[str, int] = {"": 0}
        self.versions: list[tuple[int, Buffer]] = []  # from when (Unix ns) on; [route number, target] → target number
        self.current: Mapping[str, Sequence[str]] | None = None
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
        for table in ("accounts", "keys", "routes"):
            for number, word in line.get(table, {}).items():
                getattr(self, table).set(int(number), word)
        if "targets" in line:
            self._add_version(line["since_ns"], line["targets"])

    def _add_version(self, since_ns: int, targets: Mapping[str, Sequence[str]]) -> None:
        slots = {self.routes.word(number): number for number in range(1, len(self.routes))}
        width = max((len(names) for names in targets.values()), default=0) + 1
        table = np.zeros((max(slots.values(), default=0) + 1, width), np.int32)
        for route, names in targets.items():
            for place, name in enumerate(names, 1):
                number = self.target_numbers.setdefault(name, len(self.target_numbers))
                self.targets.set(number, name)
                table[slots[route], place] = number
        self.versions.append((since_ns, table))

    def learn(self, rows: Rows, names: Names) -> None:
        """Ask for, and write down, what the rows' numbers are called. Raises OSError when it cannot be written."""
        said: dict[str, Any] = {}
        for field, table, ask in (("account", "accounts", names.account), ("key", "keys", names.key)):
            new = getattr(self, table).unknown(rows[field])
            words = {str(number): word for number in new if (word := ask(number - 1))}
            if words:
                said[table] = words
        targets, new = names.targets(), self.routes.unknown(rows["route"])
        changed = targets is not self.current
        routes = {str(number): word for number, word in self._new_routes(names).items()} if changed or new else {}
        if changed or routes:
            known = {*map(self.routes.word, range(len(self.routes))), *routes.values()}
            said["routes"] = routes
            said["targets"] = {route: list(each) for route, each in targets.items() if route in known}
            said["since_ns"] = self.versions[-1][0] if self.versions and not changed else self._now_ns()
        if not said:
            return
        line = orjson.dumps(said) + b"\n"
        self._append(line)
        self._apply(orjson.loads(line))
        if "targets" in said:
            self.current = targets

    def _now_ns(self) -> int:
        """From when on targets have the numbers that are heard of now; the first ones have always had them."""
        return time.time_ns() if self.versions else 0

    def _new_routes(self, names: Names) -> dict[int, str]:
        words = dict(enumerate(names.routes(), 1))
        self.routes.unknown(np.array([len(words)]))  # makes room
        return {number: word for number, word in words.items() if self.routes.word(number) != word}

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
        """The target that each call was sent to, under the configuration with which it began."""
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
        table = self.versions[version][1]
        routes, places = rows["route"], rows["target"]
        if int(routes.max()) >= table.shape[0] or int(places.max()) >= table.shape[1]:
            known = (routes < table.shape[0]) & (places < table.shape[1])
            routes, places = np.where(known, routes, 0), np.where(known, places, 0)
        found: Buffer = table[routes, places]
        return found

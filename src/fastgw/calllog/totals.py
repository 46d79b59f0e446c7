"""Decides how the running cost of every account is kept: for ever, whatever rows retention deletes, counted once.

Each spool file's costs are written as a file of their own when its rows have become Parquet; now and then these are
summed into one base. Every file is named by a position, and a base covers what lies below its own: whatever is left of
a change that was interrupted is either not there yet or superseded.
"""

import os
from pathlib import Path

import msgspec

BASE, STEP = ".base.json", ".costs.json"
STEPS_MAX = 64


class Totals:
    """Nanos by account name. One thread adds."""

    def __init__(self, folder: Path) -> None:
        """Read what is there. Raises OSError."""
        self.folder = folder
        folder.mkdir(exist_ok=True, mode=0o700)
        bases = sorted(folder.glob(f"*{BASE}"))
        self.base: dict[str, int] = _read(bases[-1]) if bases else {}
        self.covered = _position(bases[-1]) if bases else 0
        self.steps = {
            position: _read(path)
            for path in sorted(folder.glob(f"*{STEP}"))
            if (position := _position(path)) >= self.covered
        }
        for path in folder.iterdir():
            known = path.name.endswith((BASE, STEP))
            if (known and _position(path) < self.covered) or path.suffix == ".new":
                path.unlink()

    @property
    def top(self) -> int:
        """No row from here on has been counted."""
        return max(self.covered, *(position + 1 for position in self.steps), 0)

    def has(self, position: int) -> bool:
        """Whether the costs of the rows from this position on have been added."""
        return position in self.steps or position < self.covered

    def add(self, position: int, costs: dict[str, int]) -> None:
        """Add the costs of the rows from `position` on, durably. Raises OSError, and then nothing was added."""
        if self.has(position):
            return
        _write(self.folder / f"{position:016}{STEP}", costs)
        self.steps = {**self.steps, position: costs}
        if len(self.steps) >= STEPS_MAX:
            self._fold()

    def _fold(self) -> None:
        """Sum everything into a new base."""
        base, covered = self.all(), max(self.steps) + 1
        _write(self.folder / f"{covered:016}{BASE}", base)
        old, self.base, self.covered, steps, self.steps = self.covered, base, covered, self.steps, {}
        (self.folder / f"{old:016}{BASE}").unlink(missing_ok=True)
        for position in steps:
            (self.folder / f"{position:016}{STEP}").unlink(missing_ok=True)

    def all(self) -> dict[str, int]:
        """Nanos by account name, of everything that was added."""
        return merge([self.base, *self.steps.values()])


def merge(each: list[dict[str, int]]) -> dict[str, int]:
    """The sums by name."""
    sums: dict[str, int] = {}
    for costs in each:
        for name, nanos in costs.items():
            sums[name] = sums.get(name, 0) + nanos
    return sums


def _position(path: Path) -> int:
    return int(path.name[:16])


def _read(path: Path) -> dict[str, int]:
    return msgspec.json.decode(path.read_bytes(), type=dict[str, int])


def _write(path: Path, costs: dict[str, int]) -> None:
    """Appears whole or not at all, and survives the machine's power."""
    unfinished = path.with_name(path.name + ".new")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(msgspec.json.encode(costs))
            file.flush()
            os.fdatasync(descriptor)
        os.rename(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make what was renamed in a folder survive the machine's power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

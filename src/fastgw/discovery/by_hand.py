"""Decides what people have said of targets by the admin API, and keeps it in the state directory across restarts."""

import os
import sys
import threading
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ..config.upstreams import parse_target
from ..model import Target
from ..roster import url_of

FILE = "targets.json"


class _Added(Struct, frozen=True, omit_defaults=True):
    url: str
    weight: int = 1
    expand: bool = False


class _Said(Struct, frozen=True, omit_defaults=True):
    """Of one upstream: targets by name, and names of those that are drained, whoever has named them."""

    added: dict[str, _Added] = {}
    drained: tuple[str, ...] = ()


class ByHand:
    """What changes something is on the disk when it returns, or raises OSError and has changed nothing.

    A file that is broken is put aside, and said.
    """

    def __init__(self, state_dir: str) -> None:
        self.path = os.path.join(state_dir, FILE)
        self.changing = threading.Lock()  # to be held by who looks first and then changes
        self._said: dict[str, _Said] = {}
        try:
            with open(self.path, "rb") as file:
                self._said = msgspec.json.decode(file.read(), type=dict[str, _Said])
            for upstream in self._said:
                self.added(upstream)
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:  # those of msgspec among them
            self._said = {}
            os.replace(self.path, f"{self.path}.broken")
            print(f"fastgw: error: {self.path}: {error}; it is {FILE}.broken now, and what was said of targets by the "
                  "admin API is forgotten", file=sys.stderr, flush=True)  # fmt: skip

    def added(self, upstream: str) -> tuple[Target, ...]:
        said = self._said.get(upstream, _Said())
        return tuple(parse_target(msgspec.to_builtins(each)) for each in said.added.values())

    def drained(self, upstream: str) -> tuple[str, ...]:
        """The names of targets."""
        return self._said.get(upstream, _Said()).drained

    def add(self, upstream: str, name: str, target: Target) -> None:
        """Or change it."""
        self._change(upstream, lambda said: replace(
            said, added={**said.added, name: _Added(url_of(target), target.weight, target.expand)}
        ))  # fmt: skip

    def remove(self, upstream: str, name: str) -> None:
        """As if it had never been there."""
        self._change(upstream, lambda said: _Said(
            {each: added for each, added in said.added.items() if each != name},
            tuple(each for each in said.drained if each != name),
        ))  # fmt: skip

    def drain(self, upstream: str, name: str, drained: bool) -> None:
        self._change(upstream, lambda said: replace(
            said, drained=(*(each for each in said.drained if each != name), *([name] if drained else []))
        ))  # fmt: skip

    def _change(self, upstream: str, change: Any) -> None:
        after = {**self._said, upstream: change(self._said.get(upstream, _Said()))}
        after = {name: said for name, said in after.items() if said.added or said.drained}
        self._write(after)
        self._said = after

    def _write(self, said: dict[str, _Said]) -> None:
        """Whole or not at all, whatever happens meanwhile."""
        new = f"{self.path}.new"
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(said)) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(new, self.path)
        except OSError:
            os.unlink(new)
            raise
        directory = os.open(os.path.dirname(self.path), os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

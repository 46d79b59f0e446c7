"""Decides what a contender must tell the bench: what it can do, whether it is here, and how it is started."""

import shutil
import subprocess
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Site:
    """Where and how large a contender is to be started.

    ``directory`` is empty and its own; so is ``memory_directory``, memory-backed where the machine has that.
    ``certificate`` is a PEM file with the key in it, None for plain HTTP.
    """

    directory: Path
    memory_directory: Path
    upstream_port: int
    floor_program: Path
    population: int = 10
    workers: int = 1
    certificate: Path | None = None


@dataclass(frozen=True)
class Launch:
    """A written configuration and the command that runs it in the foreground; the port that serves each mode.

    ``admin_port`` serves /metrics, 0 for none. ``behind`` stands in the command line of a process that serves
    nobody and keeps books for those that do: its CPU time is told apart.
    """

    argv: list[str]
    ports: dict[str, int]
    admin_port: int = 0
    behind: str = ""
    env: dict[str, str] = field(default_factory=dict)


class Peer(ABC):
    """One contender. ``modes`` are those that it can decide, ``checks`` says in a few words what it looks
    at."""

    name: str
    title: str
    checks: str
    modes: frozenset[str]
    install: str
    needs_floor: bool = False

    @abstractmethod
    def program(self) -> Path | None:
        """The executable, or None when it is not installed."""

    @abstractmethod
    def version(self) -> str:
        """The version, read from the installed program."""

    @abstractmethod
    def prepare(self, site: Site) -> Launch:
        """Write the configuration into ``site.directory``."""

    def missing(self) -> str | None:
        """Why the contender cannot take part, and what would help; None when it can."""
        return None if self.program() else f"not installed: {self.install}"


def on_path(name: str) -> Path | None:
    """An executable on PATH or where Debian puts servers, which PATH may leave out."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")
    return Path(found) if found else None


def output_of(*argv: str | Path) -> str:
    """What a program writes to both streams."""
    result = subprocess.run(list(map(str, argv)), capture_output=True, text=True, timeout=20, check=False)
    return (result.stdout + result.stderr).strip()

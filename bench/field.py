"""Decides who stands on the field: the upstream, every contender started beside the others, and their end."""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cases import HANDSHAKE, UPSTREAM_ANSWER, Case
from load import probe
from peers import Launch, Peer, Site
from processes import READY_TIMEOUT_S, Process, compile_c, free_port

HERE = Path(__file__).parent
SERVER_CPU = 0
LOAD_CPU = 1


@dataclass
class Upstream:
    """The service behind every gateway: the bare responder, answering 200 and counting."""

    process: Process
    port: int
    count_file: Path

    def answered(self) -> int:
        """Requests answered since it was started."""
        return int.from_bytes(self.count_file.read_bytes(), "little")


@dataclass
class Contender:
    """A started peer; ``ready_s`` is the time until it decided by the last of its keys."""

    peer: Peer
    launch: Launch
    process: Process
    ready_s: float

    def decides(self, mode: str) -> bool:
        return ("402" if mode == HANDSHAKE else mode) in self.launch.ports

    def port(self, mode: str) -> int:
        return self.launch.ports["402" if mode == HANDSHAKE else mode]


class Field:
    """Temporary directories, the compiled programs, one upstream, and the means to start contenders in it."""

    def __init__(self, directory: Path, memory_directory: Path, stack: contextlib.ExitStack) -> None:
        self.directory = directory
        self._memory_directory = memory_directory
        self._stack = stack
        self._starts = 0
        self.floor_program = compile_c(HERE / "floor.c", directory)
        self.openloop_program = compile_c(HERE / "openloop.c", directory)
        self.upstream = self._start_upstream()

    def _start_upstream(self) -> Upstream:
        answer, count_file, port = (
            self.directory / "upstream-answer",
            self.directory / "upstream-count",
            free_port(),
        )
        answer.write_bytes(UPSTREAM_ANSWER)
        argv = [str(self.floor_program), str(count_file), str(port), str(answer)]
        process = Process(argv, {LOAD_CPU}, self.directory / "upstream.log")
        self._stack.enter_context(process)
        process.wait_ready({port})
        return Upstream(process, port, count_file)

    def start(
        self,
        peer: Peer,
        population: int = 10,
        workers: int = 1,
        cpus: set[int] | None = None,
        certificate: Path | None = None,
    ) -> Contender:
        """Start one peer, over TLS where there is a ``certificate`` (with its key in the same file); the caller ends
        ``process``, at the latest the field does. Raises RuntimeError with its log."""
        self._starts += 1
        directory = self.directory / f"{self._starts:03d}-{peer.name}"
        memory_directory = self._memory_directory / f"{self._starts:03d}"
        for made in (directory, memory_directory):
            made.mkdir()
        site = Site(
            directory, memory_directory, self.upstream.port, self.floor_program, population, workers, certificate
        )
        launch = peer.prepare(site)
        process = Process(launch.argv, cpus or {SERVER_CPU}, directory / "log", launch.env, directory)
        self._stack.enter_context(process)
        began = time.monotonic()
        process.wait_ready(set(launch.ports.values()))
        _wait_loaded(process, launch, secure=certificate is not None)
        return Contender(peer, launch, process, time.monotonic() - began)


def _wait_loaded(process: Process, launch: Launch, secure: bool) -> None:
    """Until the key that was written last decides as it should: a port may accept before the keys are loaded.

    Raises RuntimeError, with the process's log, when that does not happen.
    """
    mode = "429" if "429" in launch.ports else "proxy"
    deadline = time.monotonic() + READY_TIMEOUT_S
    while True:
        try:
            probe(Case(mode, "fresh", secure=secure), launch.ports[mode])
            return
        except (RuntimeError, OSError) as error:
            if time.monotonic() > deadline or not process.alive():
                raise RuntimeError(f"{error}\n{process.tail()}") from error
        time.sleep(0.05)


@contextlib.contextmanager
def field() -> Iterator[Field]:
    """A field that leaves nothing behind: processes ended by pid, then the directories removed."""
    shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with contextlib.ExitStack() as stack:
        own, memory = (
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="fastgw-bench-", dir=parent, ignore_cleanup_errors=True)
            )
            for parent in (None, shared)
        )
        yield Field(Path(own), Path(memory), stack)

"""Decides how processes of a bench are started, found ready and ended: every one by its own pid, whatever
happens."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 8.0

_libc = ctypes.CDLL(None, use_errno=True)
_handed_out: set[int] = set()


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on and that this process has not handed out before."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port not in _handed_out:
            _handed_out.add(port)
            return port


class Process:
    """One started process and its descendants; also a context manager that ends them.

    It runs in a session of its own, so that Ctrl-C reaches only the bench, which then ends it; should the
    bench be killed, the kernel tells the process to end.
    """

    def __init__(
        self,
        argv: list[str],
        cpus: set[int],
        log: Path,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        def prepare() -> None:
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            os.sched_setaffinity(0, cpus)

        self.log = log
        with open(log, "ab") as out:
            self._popen = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
                preexec_fn=prepare,
            )
        self.pid = self._popen.pid

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def alive(self) -> bool:
        return self._popen.poll() is None

    def tail(self) -> str:
        """The last lines that it wrote, for an error message."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-12:])

    def wait_ready(self, ports: set[int], timeout_s: float = READY_TIMEOUT_S) -> None:
        """Return when every port accepts. Raises RuntimeError, with the log, when one never does."""
        started = time.monotonic()
        for port in sorted(ports):
            while True:
                if self._popen.poll() is not None:
                    raise RuntimeError(f"ended with {self._popen.returncode} before it was ready:\n{self.tail()}")
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    if time.monotonic() - started > timeout_s:
                        raise RuntimeError(f"port {port} did not answer in {timeout_s:.0f} s:\n{self.tail()}") from None
                    time.sleep(0.02)

    def stop(self) -> None:
        """End the process, then whatever of its descendants outlived it."""
        with contextlib.suppress(ProcessLookupError):
            self._popen.terminate()
        try:
            self._popen.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        for pid in _of_session(self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _of_session(session: int) -> list[int]:
    members = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if os.getsid(int(entry.name)) == session:
                    members.append(int(entry.name))
    return members


def compile_c(source: Path, directory: Path) -> Path:
    """The program that cc makes of one C file. Raises RuntimeError with the compiler's words."""
    program = directory / source.stem
    command = [os.environ.get("CC", "cc"), "-O2", "-Wall", "-Wextra", "-o", str(program), str(source), "-lm"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}:\n{result.stderr}")
    return program

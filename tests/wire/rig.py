"""Decides how a real gateway, or a data plane beside one, is started for these tests, looked into, and ended."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

from ports import free_port

import fastgw
from fastgw import published
from fastgw._segment import Segment, account_digest
from fastgw.instance import segment_path
from fastgw.model import Config
from fastgw.states import WorkerState

from .certificates import Authority, Identity
from .client import Client

PACKAGE = Path(fastgw.__file__).parent
HOST = Path(__file__).parent / "plane_host.py"
START_S = 30.0

# Where the parts of a journal record lie (kernels/layout.pxd, record_t)
RECORD_BYTES = 256
ACCOUNT, KEY_NUMBER = slice(56, 60), slice(60, 64)
STATUS = slice(66, 68)
PORT = slice(84, 86)
PATH_LENGTH, ADDRESS, PATH = slice(86, 88), slice(88, 104), slice(128, 224)


def uncompiled_package(directory: Path) -> Path:
    """A copy of the package whose data plane has only its sources; the directory to put first on the path."""
    shutil.copytree(
        PACKAGE,
        directory / "fastgw",
        ignore=lambda path, names: [
            name for name in names if name == "__pycache__" or (path.endswith("dataplane") and name.endswith(".so"))
        ],
    )
    return directory


def eventually(condition: Callable[[], bool], within_s: float = 10.0) -> bool:
    """Whether `condition` comes true within that time."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def stopped(count: Callable[[], int], still_s: float = 0.3, within_s: float = 10.0) -> int:
    """What is counted, once it has not grown for that long."""
    deadline = time.monotonic() + within_s
    last = -1
    while (now := count()) != last:
        assert time.monotonic() < deadline, f"it goes on after {now}"
        last = now
        time.sleep(still_s)
    return last


def kernel_buffer(of: str) -> int:
    """Bytes that the kernel lets the buffer of a TCP socket grow to: "rmem", for what is received, or "wmem"."""
    return int(Path(f"/proc/sys/net/ipv4/tcp_{of}").read_text().split()[2])


def more_than_buffered() -> int:
    """More bytes than the kernel keeps of what comes by one connection and goes on by another, where nobody reads it:
    a buffer that is never read from does not grow.
    """
    return 2 * (kernel_buffer("rmem") + kernel_buffer("wmem"))


class Host:
    """A data plane of its own beside the workers of `gateway`: on the same segment, as the worker of slot `slot`.

    `text` is a configuration, as a file or made by hand; where it has accounts and keys, those in the segment count. It
    serves by the first of its listeners, on a port or on the Unix socket `path_of_socket`.
    """

    def __init__(
        self,
        gateway: Gateway,
        text: str | Config,
        directory: Path,
        path: Path | None = None,
        slot: int = 1,
        path_of_socket: str = "",
    ) -> None:
        self.gateway = gateway
        self.slot = slot
        self.path_of_socket = path_of_socket
        self.directory = directory
        self.errors = directory / "host-stderr"
        gateway.segment.worker_set(slot, 0, WorkerState.STARTING)  # as the supervisor does: nothing is open there
        self.texts = 0
        environ = {name: value for name, value in os.environ.items() if not name.startswith("FASTGW_")}
        if path is not None:
            environ["PYTHONPATH"] = str(path)
        family = socket.AF_UNIX if path_of_socket else socket.AF_INET
        place: Any = path_of_socket or ("127.0.0.1", 0)
        with socket.create_server(place, family=family, backlog=512) as listener, self.errors.open("wb") as errors:
            self.port: int = 0 if path_of_socket else listener.getsockname()[1]
            self.process = subprocess.Popen(
                [sys.executable, HOST, gateway.segment.path, str(slot), str(listener.fileno()), self._file(text)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=environ, cwd=directory, text=True,
                pass_fds=(listener.fileno(),),
            )  # fmt: skip
        self._answered("ok")

    def __enter__(self) -> Host:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def _file(self, text: str | Config) -> str:
        self.texts += 1
        if isinstance(text, Config):
            file = self.directory / f"host-{self.texts}.config"
            with open(published.publish(text, published.Source()), "rb") as made:
                file.write_bytes(os.pread(made.fileno(), 1 << 30, 0))
            return str(file)
        file = self.directory / f"host-{self.texts}.toml"
        file.write_text(text)
        return str(file)

    def _answered(self, expected: str) -> None:
        assert self.process.stdout is not None
        answer = self.process.stdout.readline()
        assert answer.startswith(expected), answer + self.errors.read_text()

    def reconfigure(self, text: str | Config, answer: str = "ok") -> None:
        """Go over to another configuration; it has been done, or refused, when this returns."""
        self.tell(self._file(text), answer)

    def tell(self, line: str, answer: str = "ok") -> None:
        """What else plane_host.py understands; it has been done when this returns."""
        assert self.process.stdin is not None
        print(line, file=self.process.stdin, flush=True)
        self._answered(answer)

    def kill(self) -> None:
        """End it with SIGKILL, wherever it is."""
        self.process.kill()
        self.process.wait()

    def connect(
        self, receive_buffer: int = 0, context: ssl.SSLContext | None = None, name: str = "localhost"
    ) -> Client:
        return Client(self.path_of_socket or self.port, receive_buffer, context, name)

    def records(self, first: int = 0) -> list[bytes]:
        """The journal's records of its slot from number `first` on."""
        data, _, _ = self.gateway.segment.journal(self.slot, first)
        return [data[i : i + RECORD_BYTES] for i in range(0, len(data), RECORD_BYTES)]

    def last_caller(self) -> tuple[str, int]:
        """Address and port in the last record, "" for those of no address."""
        record = self.records(max(self.gateway.segment.journal_written(self.slot) - 1, 0))[-1]
        address = IPv6Address(record[ADDRESS])
        shown = address.ipv4_mapped or address
        return (str(shown) if int(address) else "", int.from_bytes(record[PORT], "little"))


class Gateway:
    """One running `fastgw serve -c FILE` with one worker. `text` is the file without listen, admin and directories.

    With an `authority` it is served and asked over TLS.
    """

    def __init__(
        self, text: str, directory: Path, path: Path | None = None, authority: Authority | None = None
    ) -> None:
        self.port = free_port()
        self.state = directory / "state"
        self.memory = Path(tempfile.mkdtemp(prefix="fastgw-wire-", dir="/dev/shm"))
        self.errors = directory / "stderr"
        file = directory / "fastgw.toml"
        settings = (
            f'listen = "127.0.0.1:{self.port}"\nadmin = "off"\nworkers = 1\n'
            f'state_dir = "{self.state}"\nsegment_dir = "{self.memory}"\n'
        )
        self.context: ssl.SSLContext | None = None
        self.shown: Identity | None = None
        if authority is not None:
            self.shown = shown = authority.issue("localhost")
            settings += f'tls_certificate = "{shown.certificate}"\ntls_key = "{shown.key}"\n'
            self.context = authority.client()
        file.write_text(text.replace("[server]\n", f"[server]\n{settings}"))
        environ = {name: value for name, value in os.environ.items() if not name.startswith("FASTGW_")}
        if path is not None:
            environ["PYTHONPATH"] = str(path)
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "fastgw", "serve", "-c", str(file)],
                stdin=subprocess.DEVNULL, stderr=errors, env=environ, cwd=directory,
            )  # fmt: skip
        try:
            self._wait()
            self.segment = Segment.open(segment_path(str(self.memory), str(self.state)))
        except BaseException:
            self.process.kill()
            self.process.wait()
            shutil.rmtree(self.memory)
            raise

    def _wait(self) -> None:
        deadline = time.monotonic() + START_S
        while "serving on" not in self.errors.read_text():
            assert self.process.poll() is None, f"did not start: {self.errors.read_text()}"
            assert time.monotonic() < deadline, f"was not ready in time: {self.errors.read_text()}"
            time.sleep(0.01)

    def stop(self) -> None:
        """SIGTERM, as its owner would; it must end in peace."""
        try:
            self.process.send_signal(signal.SIGTERM)
            code = self.process.wait(30)
            assert code == 0, f"ended with {code}: {self.errors.read_text()}"
            assert "Traceback" not in self.errors.read_text(), self.errors.read_text()
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            shutil.rmtree(self.memory)

    def connect(self, receive_buffer: int = 0) -> Client:
        return Client(self.port, receive_buffer, self.context)

    @property
    def worker_pid(self) -> int:
        return int(self.segment.worker(0)["pid"])

    def resident_bytes(self) -> int:
        """Memory of the worker that is in use now."""
        for line in Path(f"/proc/{self.worker_pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no RssAnon")

    def account(self, name: str) -> dict[str, int]:
        found: dict[str, int] = self.segment.account(self.segment.account_numbers()[account_digest(name)])
        return found

    def captured(self, name: str) -> int:
        """Nanos charged so far, once nothing is held any more."""
        assert eventually(lambda: self.account(name)["held"] == 0), self.account(name)
        return self.account(name)["captured"]

    def records_written(self) -> int:
        return self.segment.journal_written(0)

    def records(self, first: int) -> list[bytes]:
        """The journal's records from number `first` on."""
        data, _, lost = self.segment.journal(0, first)
        assert lost == 0
        return [data[i : i + RECORD_BYTES] for i in range(0, len(data), RECORD_BYTES)]

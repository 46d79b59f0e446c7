"""Decides how a gateway is started for long or slow measurements: all on, one account, one key, two listeners."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cpu import behind
from processes import READY_TIMEOUT_S, Process, free_port

KEY = "sk-bench-0001"
EMPTY_KEY = "sk-bench-0002"

CONFIG = """
[server]
listen = "127.0.0.1:{port}"
admin = "127.0.0.1:{admin_port}"
state_dir = "{directory}/state"
segment_dir = "{memory_directory}"
workers = {workers}
write_timeout = "10s"
body_timeout = "5s"
{server}
{tls}
[[upstreams]]
name = "service"
targets = ["http://127.0.0.1:{upstream_port}"]
{upstream}
[[routes]]
name = "api"
path = "/v1/"
upstream = "service"
price = "0.0000{price}"
[[accounts]]
name = "rich"
balance = "1000000"
[[keys]]
account = "rich"
key = "{key}"
[[accounts]]
name = "empty"
balance = "0"
[[keys]]
account = "empty"
key = "{empty_key}"
{tables}
"""
TLS = """
[[listeners]]
address = "127.0.0.1:{tls_port}"
tls = true
[[certificates]]
certificate = "{certificate}"
key = "{certificate}"
"""


@dataclass
class Started:
    """A gateway that serves, and where; `configure` writes its file anew, with another price, for a reload."""

    process: Process
    port: int
    admin_port: int
    tls_port: int
    text: str
    file: Path

    def pids(self, module: str) -> list[int]:
        """The processes that run a module of the package, "worker" or "keeper"."""
        return sorted(behind(self.process.pid, f"fastgw.{module}"))

    def configure(self, price: int) -> None:
        """Have it serve by another price from now on."""
        self.file.write_text(self.text.replace("{price}", str(price)))
        os.kill(self.process.pid, signal.SIGHUP)


def certificate(directory: Path) -> Path | None:
    """A certificate and its key in one file, where openssl(1) is installed."""
    openssl = shutil.which("openssl")
    if openssl is None:
        return None
    file = directory / "certificate.pem"
    argv = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "7"]
    argv += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(file)]
    made = subprocess.run([*argv, "-out", str(directory / "chain.pem")], capture_output=True, timeout=60, check=True)
    del made
    file.write_bytes((directory / "chain.pem").read_bytes() + file.read_bytes())
    return file


def _await_workers(process: Process) -> None:
    """Ports accept before anybody serves. Raises RuntimeError when nobody does."""
    until = time.monotonic() + READY_TIMEOUT_S
    while " serving on " not in process.log.read_text():
        if time.monotonic() > until or not process.alive():
            raise RuntimeError(f"it does not serve:\n{process.tail()}")
        time.sleep(0.02)


@contextlib.contextmanager
def gateway(
    directory: Path, upstream_port: int, *, workers: int, cpus: set[int], server: str = "", upstream: str = "",
    tables: str = "",
) -> Iterator[Started]:  # fmt: skip
    """Started, ready, and ended with the block. `server` and `upstream` are further lines of those tables, `tables`
    others."""
    port, admin_port, tls_port = free_port(), free_port(), free_port()
    file = directory / "fastgw.toml"
    pem = certificate(directory)
    memory_directory = Path(tempfile.mkdtemp(prefix="fastgw-bench-", dir="/dev/shm"))
    text = CONFIG.replace("{price}", "{{price}}").format(
        port=port, admin_port=admin_port, directory=directory, memory_directory=memory_directory, workers=workers,
        upstream_port=upstream_port, key=KEY, empty_key=EMPTY_KEY, server=server, upstream=upstream, tables=tables,
        tls=TLS.format(tls_port=tls_port, certificate=pem) if pem else "",
    )  # fmt: skip
    file.write_text(text.replace("{price}", "1"))
    argv = [sys.executable, "-m", "fastgw", "serve", "-c", str(file)]
    try:
        with Process(argv, cpus, directory / "gateway.log") as process:
            process.wait_ready({port, admin_port})
            _await_workers(process)
            yield Started(process, port, admin_port, tls_port if pem else 0, text, file)
    finally:
        shutil.rmtree(memory_directory, ignore_errors=True)

"""Decides how an example is told: a gateway and what stands behind it, shell lines with their output, and checks.

Everything lives in a temporary directory, on free ports, and ends with the story.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

START_S = 30.0
LINE_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def behind(handler: type[BaseHTTPRequestHandler]) -> str:
    """Serve by that handler for as long as this process lives; the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"127.0.0.1:{server.server_port}"


class Story:
    """`env` is what its shell lines see: `$URL` is the gateway, and `fastgw` speaks with it."""

    def __init__(self, file: Path, changes: dict[str, str], env: dict[str, str] | None = None) -> None:
        """Of `file`, what must be different on this machine is replaced by `changes`."""
        path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
        for command in ("fastgw", "curl", "bash"):
            if shutil.which(command, path=path) is None:
                raise SystemExit(f"There is no {command} here; fastgw is found beside the Python that runs this.")
        self.directory = Path(tempfile.mkdtemp(prefix="fastgw-example-"))
        shm = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.segment = Path(tempfile.mkdtemp(prefix="fastgw-example-", dir=shm))
        text = file.read_text()
        for old, new in changes.items():
            assert text.count(old) == 1, f"{old} is not once in {file}"
            text = text.replace(old, new)
        (self.directory / "fastgw.toml").write_text(text)
        self.listen = f"127.0.0.1:{free_port()}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FASTGW_")}
        self.env = kept | {
            "PATH": path, "NO_PROXY": "127.0.0.1", "COLUMNS": "150", "URL": f"http://{self.listen}",
            "FASTGW_ADMIN": f"127.0.0.1:{free_port()}", "FASTGW_STATE_DIR": str(self.directory / "state"),
        } | (env or {})  # fmt: skip

    def __enter__(self) -> "Story":
        self.tell("The gateway starts.")
        command = f"fastgw serve -c fastgw.toml --listen {self.listen} --workers 1 --segment-dir {self.segment}"
        print(f"$ {command}", flush=True)
        with open(self.directory / "log", "wb") as log:
            self.gateway = subprocess.Popen(command.split(), cwd=self.directory, env=self.env, stdout=log, stderr=log,
                                            start_new_session=True)  # fmt: skip
        deadline = time.monotonic() + START_S
        while " serving on " not in self.log():
            if self.gateway.poll() is not None or time.monotonic() > deadline:
                self.__exit__(None, None, None)
                raise SystemExit(f"It does not serve.\n{self.said}")
            time.sleep(0.05)
        print(self.log(), flush=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if kind is None and "--stay" in sys.argv[1:]:
            names = ("URL", "FASTGW_ADMIN", "FASTGW_STATE_DIR")
            print("It goes on until Ctrl-C. For another shell:", *(f"export {name}={self.env[name]}" for name in names))
            signal.sigwait({signal.SIGINT, signal.SIGTERM})
        self.gateway.terminate()
        self.gateway.wait()
        self.said = self.log()
        for directory in (self.directory, self.segment):
            shutil.rmtree(directory, ignore_errors=True)

    def log(self) -> str:
        return (self.directory / "log").read_text()

    def tell(self, text: str, before: str = "\n") -> None:
        print(f"{before}== {text}", flush=True)

    def shell(self, line: str, *wanted: str, code: int = 0) -> str:
        """Run a shell line and show what it says, which must match every pattern of `wanted`; the output."""
        print("$", line.replace("\n", "\n  "), flush=True)
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line], cwd=self.directory, env=self.env, text=True, timeout=LINE_S,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        print(done.stdout.replace("\r", "").strip(), end="\n\n", flush=True)
        missing = [pattern for pattern in wanted if not re.search(pattern, done.stdout, re.MULTILINE)]
        if missing or done.returncode != code:
            raise SystemExit(f"Not as told: exit code {done.returncode}, without {missing}.\n{self.log()}")
        return done.stdout

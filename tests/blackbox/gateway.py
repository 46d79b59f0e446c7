"""Runs the installed command and looks at it from outside: its output, its processes, its ports, its shared memory."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType

from ports import free_port

from fastgw._segment import Segment, account_digest
from fastgw.instance import segment_path

COMMAND = str(Path(sys.executable).parent / "fastgw")
NANOS = 1_000_000_000


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without settings of the gateway's, plus `extra`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FASTGW_")}
    return kept | dict(extra or {})


def eventually(true: Callable[[], object], within_s: float = 15.0, what: str = "it did not come true") -> float:
    """Wait until `true()`; how long it took, in seconds. Fails after `within_s`."""
    start = time.monotonic()
    while not true():
        assert time.monotonic() - start < within_s, f"{what} within {within_s} s"
        time.sleep(0.02)
    return time.monotonic() - start


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def command_line(pid: int) -> list[str]:
    """The arguments of a process, empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]
    except OSError:
        return []


def connects(port: int) -> bool:
    """Whether anybody accepts connections on the port."""
    with socket.socket() as client:
        client.settimeout(2)
        return client.connect_ex(("127.0.0.1", port)) == 0


def get(url: str, bearer: str | None = None, timeout_s: float = 10.0) -> tuple[int, str]:
    """(status, body) of a GET, whatever the status."""
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout_s) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def table(kind: str, /, **fields: object) -> str:
    """One [[table]] of a file; strings, numbers and booleans are written as JSON, which TOML reads alike."""
    return f"\n[[{kind}]]\n" + "".join(f"{field} = {json.dumps(value)}\n" for field, value in fields.items())


def account(name: str = "acme", balance: str = "0", **fields: object) -> str:
    """One [[accounts]]."""
    return table("accounts", name=name, balance=balance, **fields)


def key(text: str = "sk-acme-0001", account: str = "acme", **fields: object) -> str:
    """One [[keys]]."""
    return table("keys", account=account, key=text, **fields)


def run(*arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None,
        timeout_s: float = 30.0) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """Run the command to its end."""
    return subprocess.run(
        [COMMAND, *arguments], env=clean_environment(env), cwd=cwd, text=True, capture_output=True,
        timeout=timeout_s, check=False,
    )  # fmt: skip


class Gateway:
    """A gateway with a directory, ports and shared memory of its own; what it leaves behind is removed at the end."""

    def __init__(self, directory: Path, upstream_url: str) -> None:
        self.directory = directory
        self.upstream_url = upstream_url
        self.port = free_port()
        self.admin_port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.admin_url = f"http://127.0.0.1:{self.admin_port}"
        self.state_dir = directory / "state"
        self.segment_dir = Path(tempfile.mkdtemp(prefix="fastgw-test-", dir="/dev/shm"))
        self.file = directory / "fastgw.toml"
        self.process: subprocess.Popen[bytes] | None = None
        self.runs: list[subprocess.Popen[bytes]] = []
        self.seen: set[int] = set()

    # Starting

    def flags(self) -> list[str]:
        """The options that keep it apart from every other gateway."""
        return [
            "--listen", f"127.0.0.1:{self.port}", "--admin", f"127.0.0.1:{self.admin_port}",
            "--state-dir", str(self.state_dir), "--segment-dir", str(self.segment_dir),
        ]  # fmt: skip

    def write(self, *tables: str, price: str = "0", server: Mapping[str, object] | None = None,
              **route: object) -> None:  # fmt: skip
        """Write the file: one upstream, one route for /v1/, and further tables."""
        lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in (server or {}).items())
        self.file.write_text(
            f"[server]\n{lines}"
            + table("upstreams", name="service", targets=[self.upstream_url])
            + table("routes", name="api", path="/v1/", upstream="service", price=price, **route)
            + "".join(tables)
        )

    def launch(self, *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None,
               prefix: Iterable[str] = (), bare: bool = False) -> subprocess.Popen[bytes]:  # fmt: skip
        """Start `fastgw serve` with its own flags and `arguments` (`bare`: no flags at all), and do not wait."""
        with open(self.directory / "stderr", "ab") as errors:
            self.process = subprocess.Popen(
                [*prefix, COMMAND, "serve", *([] if bare else [*self.flags(), *arguments])], env=clean_environment(env),
                cwd=cwd or self.directory, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
                start_new_session=True,
            )  # fmt: skip
        self.runs.append(self.process)
        return self.process

    def start(self, *arguments: str, env: Mapping[str, str] | None = None, workers: int | None = 2,
              within_s: float = 20.0, cwd: Path | None = None, prefix: Iterable[str] = (),
              bare: bool = False) -> float:  # fmt: skip
        """Serve the file, or what the arguments say if --upstream is among them; the seconds until it did.

        `workers` None: as many as the file says.
        """
        if "--upstream" not in arguments:
            arguments = ("-c", str(self.file), *arguments)
        before = self.log().count(" serving on ")
        if workers is not None:
            arguments = (*arguments, "--workers", str(workers))
        process = self.launch(*arguments, env=env, cwd=cwd, prefix=prefix, bare=bare)

        def serving() -> bool:
            assert process.poll() is None, f"ended with {process.returncode}:\n{self.log()}"
            return self.log().count(" serving on ") > before

        try:
            took = eventually(serving, within_s, "it did not serve")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()}") from None
        self.seen.update(self.children().values())
        return took

    # Looking

    def log(self) -> str:
        """All that it has said so far, in every run."""
        path = self.directory / "stderr"
        return path.read_text() if path.exists() else ""

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        assert self.process is not None
        return self.process.pid

    def children(self) -> dict[str, int]:
        """Process id by name ("keeper", "worker 0", …) of the children that live."""
        found = {}
        try:
            pids = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        except OSError:
            return {}
        for pid in map(int, pids):
            arguments = command_line(pid)
            modules = [argument for argument in arguments if argument.startswith("fastgw.")]
            if modules and alive(pid):
                name = modules[0].removeprefix("fastgw.")
                index = arguments[arguments.index(modules[0]) + 1]
                found["keeper" if name == "keeper" else f"{name} {index}"] = pid
        self.seen.update(found.values())
        return found

    def workers(self) -> list[int]:
        """Process ids of the workers that live."""
        return [pid for name, pid in self.children().items() if name != "keeper"]

    def segment_files(self) -> list[Path]:
        """What lies in the directory of segments but the table of targets, which lies beside its segment."""
        return [path for path in self.segment_dir.iterdir() if ".targets-" not in path.name]

    def segment(self) -> Segment:
        """Its shared memory, mapped here too."""
        return Segment.open(segment_path(str(self.segment_dir), str(self.state_dir)))

    def money(self, name: str = "acme") -> dict[str, int]:
        """Nanos of an account: granted, credit, committed, captured, held."""
        segment = self.segment()
        money: dict[str, int] = segment.account(segment.account_numbers()[account_digest(name)])
        return money

    def ready(self) -> bool:
        """Whether /readyz says so."""
        try:
            return get(f"{self.admin_url}/readyz", timeout_s=2)[0] == 200
        except OSError:
            return False

    def call(self, bearer: str | None = "sk-acme-0001", target: str = "/v1/calls", timeout_s: float = 10.0) -> int:
        """The status of one call."""
        return get(self.url + target, bearer, timeout_s)[0]

    def code(self, bearer: str | None, target: str = "/v1/calls") -> str:
        """The code of a refusal."""
        return str(json.loads(get(self.url + target, bearer)[1])["code"])

    # Ending

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self, pid: int) -> None:
        """kill -9 of one of its processes."""
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not alive(pid))

    def wait(self, within_s: float = 10.0) -> int:
        """The exit code, once it has ended."""
        assert self.process is not None
        return self.process.wait(within_s)

    def stop(self, within_s: float = 10.0) -> int:
        """SIGTERM; the exit code."""
        self.children()
        self.signal(signal.SIGTERM)
        return self.wait(within_s)

    def kill_supervisor(self) -> None:
        """kill -9 of the supervisor alone."""
        self.children()
        os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def kill_everything(self) -> None:
        """kill -9 of the supervisor and every child at once."""
        pids = [self.pid, *self.children().values()]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.wait()

    def left(self) -> list[int]:
        """Processes it has ever been seen with that still live."""
        return [pid for pid in self.seen if alive(pid) and any("fastgw." in part for part in command_line(pid))]

    def __enter__(self) -> "Gateway":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for process in self.runs:
            if process.poll() is None:
                self.process = process
                self.kill_everything()
        for pid in self.left():
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.segment_dir, ignore_errors=True)
        if error is not None:
            error.add_note(f"The gateway said:\n{self.log()}")

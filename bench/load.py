"""Decides how load is made and what an answer must look like: wrk in a closed loop, an open loop, and single
probes."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from cases import CONNECTIONS, HANDSHAKE, UPSTREAM_BODY, Case, status_of
from handshakes import insecure

HERE = Path(__file__).parent
PROBE_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class WrkResult:
    """What wrk counted in one run."""

    requests: int
    seconds: float
    refused: int
    socket_errors: int
    cpu_s: float
    statuses: dict[int, int] = field(default_factory=dict)


def _bounded(argv: list[str], seconds: float) -> subprocess.CompletedProcess[str]:
    """Run a load generator. Raises RuntimeError when it does not end by itself soon after ``seconds``."""
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 30, check=False)
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{argv[3]} did not end in time") from error


def run_wrk(
    case: Case, port: int, seconds: float, run: int, cpu: int, directory: Path, tally: bool = False
) -> WrkResult:
    """One thread of wrk over 64 kept-alive connections, or, where the case asks for them, new connections one after
    the other. Raises RuntimeError when the generator fails."""
    if case.mode == HANDSHAKE:
        return _run_handshakes(case, port, seconds, run, cpu, directory)
    template = directory / f"template-{port}"
    template.write_bytes(case.template(port, run))
    first, step, count = case.key_range()
    argv = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "--timeout", "10s"]
    argv += ["-s", str(HERE / "wrk_request.lua"), f"{case.scheme}://127.0.0.1:{port}", "--", str(template)]
    argv += [str(first), str(step), str(count), str(run)] + (["tally"] if tally else [])
    before = os.times()
    result = _bounded(["taskset", "-c", str(cpu), *argv], seconds)
    after = os.times()
    _, found, line = result.stdout.partition("RESULT ")
    if result.returncode != 0 or not found:
        raise RuntimeError(f"wrk ended with {result.returncode}: {result.stdout}{result.stderr}")
    counts = json.loads(line)
    return WrkResult(
        requests=counts["requests"],
        seconds=counts["duration_us"] / 1e6,
        refused=counts["refused"],
        socket_errors=counts["connect"] + counts["read"] + counts["write"] + counts["timeout"],
        cpu_s=after.children_user + after.children_system - before.children_user - before.children_system,
        statuses={int(code): times for code, times in counts["statuses"].items()},
    )


def _run_handshakes(case: Case, port: int, seconds: float, run: int, cpu: int, directory: Path) -> WrkResult:
    request = directory / f"request-{port}"
    request.write_bytes(case.request(port, run))
    argv = ["taskset", "-c", str(cpu), sys.executable, str(HERE / "handshakes.py")]
    argv += [str(port), str(request), f"{seconds:g}"]
    before = os.times()
    result = _bounded(argv, seconds)
    after = os.times()
    if result.returncode != 0:
        raise RuntimeError(f"handshakes.py ended with {result.returncode}: {result.stderr}")
    counts = json.loads(result.stdout)
    statuses = {int(code): times for code, times in counts["statuses"].items()}
    return WrkResult(
        requests=sum(statuses.values()),
        seconds=counts["seconds"],
        refused=sum(times for code, times in statuses.items() if code >= 400),
        socket_errors=counts["broken"],
        cpu_s=after.children_user + after.children_system - before.children_user - before.children_system,
        statuses=statuses,
    )


@dataclass(frozen=True)
class Answer:
    status: int
    head: bytes
    body: bytes

    @property
    def size(self) -> int:
        """Bytes of head and body."""
        return len(self.head) + 4 + len(self.body)


def read_answer(stream: socket.socket, pending: bytes = b"") -> tuple[Answer, bytes]:
    """One HTTP/1.1 answer with a Content-Length or chunked body, and the bytes behind it."""

    def more(data: bytes) -> bytes:
        got = stream.recv(65536)
        if not got:
            raise RuntimeError(f"the connection was closed after {data[:200]!r}")
        return data + got

    data = pending
    while b"\r\n\r\n" not in data:
        data = more(data)
    head, _, rest = data.partition(b"\r\n\r\n")
    fields = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
    }
    status = int(head.split(b" ", 2)[1])
    if fields.get(b"transfer-encoding", b"").lower() == b"chunked":
        body = b""
        while True:
            while b"\r\n" not in rest:
                rest = more(rest)
            size_line, _, rest = rest.partition(b"\r\n")
            size = int(size_line.split(b";")[0], 16)
            while len(rest) < size + 2:
                rest = more(rest)
            body, rest = body + rest[:size], rest[size + 2 :]
            if size == 0:
                return Answer(status, head, body), rest
    length = int(fields.get(b"content-length", b"0"))
    while len(rest) < length:
        rest = more(rest)
    return Answer(status, head, rest[:length]), rest[length:]


def _connect(case: Case, port: int) -> socket.socket:
    stream = socket.create_connection(("127.0.0.1", port), timeout=PROBE_TIMEOUT_S)
    return insecure().wrap_socket(stream) if case.secure else stream


def probe(case: Case, port: int) -> Answer:
    """Ask twice on one connection and return the second answer.

    The first is not judged: it may be admitted, and take the only token of a bucket that was full. Raises
    RuntimeError when the second is not what the mode says: the connection kept, the status, the upstream's
    own body where it was to be forwarded, and a body at all where it was refused.
    """
    with _connect(case, port) as stream:
        rest = b""
        for run in (1, 2):
            stream.sendall(case.request(port, 0xFFFFFFFF - run))
            answer, rest = read_answer(stream, rest)
    if answer.status != status_of(case.mode):
        raise RuntimeError(f"answered {answer.status} where {status_of(case.mode)} was due: {answer.body[:200]!r}")
    if case.mode == "proxy" and answer.body != UPSTREAM_BODY:
        raise RuntimeError(f"the upstream's body did not reach the client: {answer.body[:200]!r}")
    if case.mode != "proxy" and not answer.body:
        raise RuntimeError("the refusal has no body")
    return answer


@dataclass(frozen=True)
class OpenLoopResult:
    """Latencies in µs from the instant that the timetable named."""

    rate_per_s: float
    p50_us: float
    p90_us: float
    p99_us: float
    p999_us: float
    max_us: float
    sent: int
    recorded: int
    faults: int


def run_openloop(
    program: Path,
    case: Case,
    port: int,
    rate_per_s: float,
    seconds: float,
    seed: int,
    cpu: int,
    directory: Path,
) -> OpenLoopResult:
    """Poisson arrivals at a fixed rate over 64 connections. Raises RuntimeError when the generator fails."""
    request = directory / f"request-{port}"
    number = f"{case.key_range()[0]:07d}".encode()
    request.write_bytes(case.template(port, seed).replace(b"{key}", number))
    argv = [
        "taskset",
        "-c",
        str(cpu),
        str(program),
        str(port),
        str(request),
        f"{rate_per_s:.0f}",
        f"{seconds:g}",
    ]
    argv += [str(CONNECTIONS), str(status_of(case.mode)), str(seed)]
    result = _bounded(argv, seconds)
    if result.returncode != 0:
        raise RuntimeError(f"openloop ended with {result.returncode}: {result.stderr}")
    out = json.loads(result.stdout)
    return OpenLoopResult(
        rate_per_s=rate_per_s,
        p50_us=out["p50_us"],
        p90_us=out["p90_us"],
        p99_us=out["p99_us"],
        p999_us=out["p999_us"],
        max_us=out["max_us"],
        sent=out["sent"],
        recorded=out["recorded"],
        faults=out["unanswered"] + out["wrong_status"] + out["broken"],
    )

"""What a call to a language model costs the gateway, whole and streamed, beside nginx and other gateways for models.

    python bench/models.py [chat] [chunks] [delay] [--rivals portkey,litellm] [--rounds 5] [--seconds 2] [--quick]

The provider behind all of them is `provider.c`: it answers in the format of OpenAI at once, or event by event. CPU time
is user + system of one worker, from the kernel's own accounting; contenders are bound to CPU 0, provider and load to 1.

`chat`: a chat completion that is not streamed, 64 connections, kept alive, no two requests alike. fastgw checks the key
and the rate, reads the body, holds by the model's price, captures what the provider counted, and writes ledger and call
log; nginx + Lua forwards behind its check of key, bucket and balance; nginx forwards.
`chunks`: streams of events, each event sent by itself; CPU per event relayed, beside nginx with buffering off.
`delay`: 1,000 streams of 50 events a second through one worker; how much later than without it they arrive, and what a
stream takes of memory.

Rivals are installed from their registries when they are asked for, into --install, and asked for `chat` alone.
Exit status 0 when every figure is valid; nothing here judges timing.
"""

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import machine
from cases import CONNECTIONS, PATH, REQUEST_BODY
from cpu import behind, memory, snapshot, spent_ns
from load import read_answer
from peers.ai import KEY, PROVIDER_KEY, FastgwModels, Installed, LiteLlm, Portkey
from peers.base import Launch, Peer, Site
from peers.nginx import NginxLua, NginxStatic, NginxUnbuffered
from processes import READY_TIMEOUT_S, Process, compile_c, free_port

HERE = Path(__file__).parent
SERVER_CPU, LOAD_CPU = 0, 1
CHUNKS, STREAMS, INTERVAL_US = 100, 1000, 20_000  # 50 events a second
PAUSE_US = 250  # between two looks of their readers
RIVALS: dict[str, type[Installed]] = {"portkey": Portkey, "litellm": LiteLlm}
STREAM_BODY = REQUEST_BODY[:-1] + b',"stream":true}'


@dataclass
class Contender:
    peer: Peer
    launch: Launch
    process: Process

    @property
    def port(self) -> int:
        return self.launch.ports["proxy"]

    def spent(self, before: dict[int, int]) -> int:
        """CPU nanoseconds of those that serve since that snapshot."""
        after = snapshot(self.process.pid)
        apart = behind(self.process.pid, self.launch.behind)
        return spent_ns(before, after) - sum(after[pid] - before.get(pid, 0) for pid in apart if pid in after)


class Ground:
    """What everybody stands on: directories, compiled programs, providers, and contenders started beside each other."""

    def __init__(self, directory: Path, memory_directory: Path, stack: contextlib.ExitStack) -> None:
        self.directory = directory
        self.memory_directory = memory_directory
        self.stack = stack
        self.programs = {name: compile_c(HERE / f"{name}.c", directory) for name in ("provider", "listeners", "floor")}
        self.starts = 0

    def provider(self, chunks: int, interval_us: int) -> int:
        """The port of a provider that sends so many events a stream, so far apart."""
        port = free_port()
        argv = [str(self.programs["provider"]), str(port), str(chunks), str(interval_us)]
        process = self.stack.enter_context(Process(argv, {LOAD_CPU}, self.directory / f"provider-{port}.log"))
        process.wait_ready({port})
        return port

    def start(self, peer: Peer, provider: int) -> Contender:
        self.starts += 1
        directory, memory_directory = (
            parent / f"{self.starts:02d}-{peer.name}" for parent in (self.directory, self.memory_directory)
        )
        for made in {directory, memory_directory}:
            made.mkdir()
        launch = peer.prepare(Site(directory, memory_directory, provider, self.programs["floor"]))
        process = Process(launch.argv, {SERVER_CPU}, directory / "log", launch.env, directory)
        self.stack.enter_context(process)
        process.wait_ready(set(launch.ports.values()), timeout_s=180)
        contender = Contender(peer, launch, process)
        self._wait_serving(contender, provider)
        return contender

    def _wait_serving(self, contender: Contender, provider: int) -> None:
        """Until a call is answered: a port may accept before anybody serves there. Raises RuntimeError with the log."""
        port = contender.port
        request = head(port, contender.peer.name, provider, REQUEST_BODY).replace(b"{trace}", b"fffffff")
        deadline = time.monotonic() + READY_TIMEOUT_S
        answered = ""
        while time.monotonic() < deadline and contender.process.alive():
            with (
                contextlib.suppress(RuntimeError, OSError),
                socket.create_connection(("127.0.0.1", port), 10) as stream,
            ):
                stream.sendall(request)
                answer, _ = read_answer(stream)
                if answer.status == 200 and b'"completion_tokens":36' in answer.body:
                    return
                answered = f"{answer.status} {answer.body[:200]!r}"
            time.sleep(0.1)
        raise RuntimeError(f"{contender.peer.name} does not serve: {answered}\n{contender.process.tail()}")


def head(port: int, name: str, provider: int, body: bytes) -> bytes:
    """A request as a client of that contender sends it, `{trace}` in it."""
    key = PROVIDER_KEY if name == "portkey" else KEY
    fields = [
        f"Host: 127.0.0.1:{port}",
        "User-Agent: OpenAI/Python 3.57.0",
        "Accept: application/json",
        "Accept-Encoding: gzip, deflate",
        f"Authorization: Bearer {key}",
        "traceparent: 00-4bf92f3577b34da6a3ce929d0{trace}-00f067aa0ba902b7-01",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "X-Stainless-Lang: python",
        "X-Stainless-Package-Version: 3.57.0",
        "X-Stainless-OS: Linux",
        "X-Stainless-Arch: x64",
        "X-Stainless-Runtime: CPython",
        "X-Stainless-Runtime-Version: 3.11.7",
        "X-Stainless-Async: false",
        "x-stainless-retry-count: 0",
    ]
    if name == "portkey":
        fields += ["x-portkey-provider: openai", f"x-portkey-custom-host: http://127.0.0.1:{provider}/v1"]
    return "\r\n".join([f"POST {PATH} HTTP/1.1", *fields, "", ""]).encode() + body


def wrk(ground: Ground, contender: Contender, provider: int, seconds: float, run: int) -> tuple[int, int]:
    """Requests answered with 200, and what went wrong besides."""
    template = ground.directory / "template"
    template.write_bytes(head(contender.port, contender.peer.name, provider, REQUEST_BODY))
    argv = ["taskset", "-c", str(LOAD_CPU), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s"]
    argv += ["--timeout", "30s", "-s", str(HERE / "wrk_request.lua"), f"http://127.0.0.1:{contender.port}", "--"]
    argv += [str(template), "1", "1", "1", str(run), "tally"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 60, check=False)
    _, found, line = done.stdout.partition("RESULT ")
    if done.returncode != 0 or not found:
        raise RuntimeError(f"wrk ended with {done.returncode}: {done.stdout}{done.stderr}")
    counts = json.loads(line)
    good = counts["statuses"].get("200", 0)
    wrong = sum(counts["statuses"].values()) - good
    return good, wrong + counts["connect"] + counts["read"] + counts["write"] + counts["timeout"]


def listen(
    ground: Ground, port: int, request: bytes, streams: int, seconds: float, pause_us: int = 0
) -> dict[str, float]:
    """What `listeners.c` tells of so many streams."""
    file = ground.directory / "stream-request"
    file.write_bytes(request.replace(b"{trace}", b"fffffff"))
    argv = ["taskset", "-c", str(LOAD_CPU), str(ground.programs["listeners"]), str(port), str(file), str(streams)]
    argv += [f"{seconds:g}", str(pause_us)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 60, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"listeners ended with {done.returncode}: {done.stderr}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


class Bench:
    def __init__(self, ground: Ground, options: argparse.Namespace) -> None:
        self.ground = ground
        self.options = options
        self.found: dict[str, object] = {}
        self.faults: list[str] = []

    def _rounds(self, contenders: list[Contender]) -> Iterator[tuple[int, Contender]]:
        """In every round each contender once, in an order that turns."""
        for round_ in range(self.options.rounds):
            turn = round_ % len(contenders)
            for contender in contenders[turn:] + contenders[:turn]:
                yield round_, contender

    def _table(self, title: str, us: dict[str, list[float]], contenders: list[Contender]) -> None:
        print(f"\n| {title} | µs of CPU | least, most | fastgw / it |\n|---|---:|---:|---:|")
        for contender in contenders:
            own = us[contender.peer.name]
            ratio = statistics.median(a / b for a, b in zip(us["fastgw"], own, strict=True))
            spread = f"{min(own):.1f}, {max(own):.1f}"
            print(f"| {contender.peer.title} | {statistics.median(own):.1f} | {spread} | {ratio:.3f} |", flush=True)

    def chat(self) -> None:
        provider = self.ground.provider(CHUNKS, 0)
        peers: list[Peer] = [FastgwModels(), NginxLua(), NginxStatic()]
        peers += [rival for rival in self.options.rivals if rival.program()]
        contenders = [self.ground.start(peer, provider) for peer in peers if not peer.missing()]
        us: dict[str, list[float]] = {}
        for contender in contenders:
            wrk(self.ground, contender, provider, 1, 0)  # warm up
        for round_, contender in self._rounds(contenders):
            before = snapshot(contender.process.pid)
            good, wrong = wrk(self.ground, contender, provider, self.options.seconds, round_ + 1)
            spent = contender.spent(before)
            if wrong or not good:
                self.faults.append(f"chat, {contender.peer.name}: {good} answered, {wrong} not as they should be")
            us.setdefault(contender.peer.name, []).append(spent / 1000 / max(good, 1))
        self._table("chat completion, whole", us, contenders)
        self.found["chat_us"] = us
        for contender in contenders:
            contender.process.stop()

    def chunks(self) -> None:
        """Each event comes by itself: 64 streams, one every 4 ms each, is what leaves the load's core room."""
        provider = self.ground.provider(CHUNKS, 4_000)
        contenders = [self.ground.start(peer, provider) for peer in (FastgwModels(), NginxUnbuffered())]
        us: dict[str, list[float]] = {}
        for round_, contender in self._rounds(contenders):
            request = head(contender.port, contender.peer.name, provider, STREAM_BODY)
            before = snapshot(contender.process.pid)
            heard = listen(self.ground, contender.port, request, CONNECTIONS, self.options.seconds + 1)
            spent = contender.spent(before)
            events = heard["events"] * (self.options.seconds + 1) / heard["seconds"]
            self._judge(f"chunks, {contender.peer.name}, round {round_ + 1}", heard)
            us.setdefault(contender.peer.name, []).append(spent / 1000 / max(events, 1))
        self._table("an event relayed, with its share of the stream's call", us, contenders)
        self.found["chunk_us"] = us
        for contender in contenders:
            contender.process.stop()

    def delay(self) -> None:
        streams, seconds = (50, 3.0) if self.options.quick else (STREAMS, max(10.0, 5 * self.options.seconds))
        provider = self.ground.provider(CHUNKS, INTERVAL_US)
        contender = self.ground.start(FastgwModels(), provider)
        [worker] = behind(contender.process.pid, "fastgw.worker")
        heard: dict[str, list[dict[str, float]]] = {"direct": [], "fastgw": []}
        before = memory(worker).private
        for _ in range(min(self.options.rounds, 3)):
            for name, port in (("direct", provider), ("fastgw", contender.port)):
                found = listen(self.ground, port, head(port, name, provider, STREAM_BODY), streams, seconds, PAUSE_US)
                self._judge(f"delay, {name}", found)
                heard[name].append(found)
        grown = memory(worker).private - before
        print(f"\n{streams} streams of {1_000_000 // INTERVAL_US} events a second, one worker:")
        for quantile in ("p50_us", "p99_us", "p999_us"):
            pairs = zip(heard["fastgw"], heard["direct"], strict=True)
            added = statistics.median(through[quantile] - direct[quantile] for through, direct in pairs)
            print(f"  added at {quantile[:-3]}: {added / 1000:.2f} ms")
        print(f"  memory of the worker: {grown / streams / 1024:.1f} KiB a stream, at most")
        self.found["delay"] = heard
        contender.process.stop()

    def _judge(self, what: str, heard: dict[str, float]) -> None:
        if heard["refused"] or heard["broken"] or not heard["events"]:
            self.faults.append(
                f"{what}: {heard['refused']} refused, {heard['broken']} broken, {heard['events']} events"
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help="any of chat, chunks, delay (default: all)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--quick", action="store_true", help="one short round, to see that it works")
    parser.add_argument("--rivals", default="", metavar="A,B", help=f"install and ask {' and '.join(RIVALS)} too")
    parser.add_argument("--install", type=Path, default=Path.home() / ".cache/fastgw-bench", metavar="DIR")
    parser.add_argument("--json", type=Path, help="write what was measured here too")
    options = parser.parse_args()
    if wrong := set(options.parts) - {"chat", "chunks", "delay"}:
        parser.error(f"no such part: {', '.join(wrong)}")
    if wrong := {name for name in options.rivals.split(",") if name} - RIVALS.keys():
        parser.error(f"no such rival: {', '.join(wrong)}")
    if options.quick:
        options.rounds, options.seconds = 1, 1.0
    options.rivals = [RIVALS[name](options.install) for name in options.rivals.split(",") if name]
    for rival in options.rivals:
        rival.fetch()
    shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with contextlib.ExitStack() as stack:
        own, fast = (
            Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fastgw-bench-", dir=parent)))
            for parent in (None, shared)
        )
        bench = Bench(Ground(own, fast, stack), options)
        for part in ("chat", "chunks", "delay"):
            if part in options.parts or not options.parts:
                getattr(bench, part)()
    if options.json:
        described = {"machine": machine.describe(), "command": sys.argv, **bench.found, "faults": bench.faults}
        options.json.write_text(json.dumps(described, indent=1) + "\n")
    for fault in bench.faults:
        print(f"INVALID: {fault}", file=sys.stderr)
    return 1 if bench.faults else 0


if __name__ == "__main__":
    sys.exit(main())

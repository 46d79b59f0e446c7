"""Decides whether anything grows that should not, over a long time of every kind of traffic.

    python bench/soak.py [--minutes 30] [--rate 150] [--quick]

Calls that are refused, proxied, late, large, cut by the service, left by the client, read slowly or sent slowly, kept
alive or not, over TLS where openssl(1) is there; calls to a model, in its dialect or another, whole, streamed, or left
in the middle of a stream; a reload a minute. What is looked at every ten seconds: descriptors of
every process and the memory that it has written itself (libraries are its own or shared as other programs come and go),
connections, calls in flight, money held, and how far ledger and call log are behind. The first sixth warms up;
then the last third is held against the first: medians, and of memory the least. In the end, when nobody calls any more,
nothing may be open or held. The exit status says whether all of that is so.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import ssl
import statistics
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop
from cpu import memory
from processes import Process, compile_c, free_port
from soaked import EMPTY_KEY, KEY, Started, gateway

HERE = Path(__file__).parent
SAMPLE_S = 10.0
GROWTH_PERCENT, GROWTH_BYTES = 5, 3 << 20  # of memory, whichever is more
GAUGES = (
    "fastgw_connections", "fastgw_calls_in_flight", "fastgw_held_nanos", "fastgw_ledger_lag_seconds",
    "fastgw_call_log_lag_seconds", "fastgw_journal_depth", "fastgw_call_log_dropped_rows_total",
)  # fmt: skip
LAG_MAX_S = 5.0
EVENTS, INTERVAL_US = 50, 20_000  # of a model's stream
MODELS = """
[[providers]]
name = "provider"
url = "http://127.0.0.1:{port}/v1"
keys = ["sk-provider-0001"]
[[models]]
name = "m"
targets = ["provider/m-1.0"]
price = {{ input = "2.50", cached = "1.25", output = "10.00" }}
[[routes]]
name = "ai"
path = "/ai/"
models = ["*"]
"""
QUESTION = b'{"model":"m","max_tokens":64,"messages":[{"role":"user","content":"How much?"}]'


class Caller:
    """Makes calls, one kind after the other by chance, and counts what became of each."""

    def __init__(self, started: Started, seed: int) -> None:
        self.started = started
        self.chance = random.Random(seed)
        self.became: Counter[str] = Counter()
        self.kept: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.insecure = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.insecure.check_hostname, self.insecure.verify_mode = False, ssl.CERT_NONE
        kinds: dict[Callable[[], Awaitable[None]], int] = {
            self.small: 60, self.refused: 60, self.once: 20, self.large: 4, self.late: 4, self.cut: 3, self.leave: 4,
            self.slow_reader: 1, self.slow_body: 1, self.half: 2, self.events: 2,
            self.garbage: 2, self.model: 20, self.translated: 5, self.stream: 4, self.leave_stream: 3,
        }  # fmt: skip
        if started.tls_port:
            kinds[self.secure] = 10
        self.kinds, self.weights = list(kinds), list(kinds.values())

    async def call(self) -> None:
        """One of some kind; what goes wrong is counted."""
        [kind] = self.chance.choices(self.kinds, self.weights)
        name = kind.__name__
        try:
            async with asyncio.timeout(60):
                await kind()
            self.became[name] += 1
        except (RuntimeError, OSError, EOFError, TimeoutError) as error:
            self.became[f"{name}: {type(error).__name__}"] += 1

    async def _open(self, secure: bool = False) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        port = self.started.tls_port if secure else self.started.port
        return await asyncio.open_connection("127.0.0.1", port, ssl=self.insecure if secure else None)

    @staticmethod
    def _ask(
        writer: asyncio.StreamWriter, target: str = "/v1/x", *lines: str, key: str = KEY, body: bytes = b""
    ) -> None:
        fields = "".join(f"{line}\r\n" for line in lines)
        head = f"POST {target} HTTP/1.1\r\nHost: soak\r\nx-api-key: {key}\r\n{fields}"
        length = "" if "Transfer-Encoding: chunked" in lines else f"Content-Length: {len(body)}\r\n"
        writer.write(f"{head}{length}\r\n".encode() + body)

    @staticmethod
    async def _answer(reader: asyncio.StreamReader, *statuses: int) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        if status not in (statuses or (200,)):
            raise OSError(f"answered {status}")
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                await reader.readexactly(int(line[15:]))

    async def _on_one_of_its_own(
        self, *statuses: int, target: str = "/v1/x", secure: bool = False, lines: tuple[str, ...] = (),
        body: bytes = b"{}",
    ) -> None:  # fmt: skip
        reader, writer = await self._open(secure)
        try:
            self._ask(writer, target, *lines, body=body)
            await self._answer(reader, *statuses)
        finally:
            writer.close()

    async def small(self) -> None:
        await self._kept(KEY, 200)

    async def refused(self) -> None:
        await self._kept(self.chance.choice((EMPTY_KEY, "sk-unknown")), 401, 402)

    async def _kept(self, key: str, *statuses: int) -> None:
        """On a connection that is kept, as long as the gateway keeps it."""
        reader, writer = self.kept.pop() if self.kept else await self._open()
        if reader.at_eof():
            writer.close()
            reader, writer = await self._open()
        try:
            self._ask(writer, key=key, body=b'{"question":"how much?"}')
            await self._answer(reader, *statuses)
        except BaseException:
            writer.close()
            raise
        self.kept.append((reader, writer))

    async def once(self) -> None:
        await self._on_one_of_its_own(lines=("Connection: close",))

    async def secure(self) -> None:
        await self._on_one_of_its_own(secure=True)

    async def large(self) -> None:
        await self._on_one_of_its_own(target=f"/v1/large?n={self.chance.randrange(1, 2_000_000)}")

    async def late(self) -> None:
        await self._on_one_of_its_own(target="/v1/late?ms=500")

    async def cut(self) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionResetError):
            await self._on_one_of_its_own(200, 502, target="/v1/cut")

    async def leave(self) -> None:
        """Ask, and go away: before the answer, or in the middle of it."""
        reader, writer = await self._open(secure=bool(self.started.tls_port) and self.chance.random() < 0.3)
        self._ask(writer, self.chance.choice(("/v1/late?ms=300", "/v1/large?n=900000")))
        if self.chance.random() < 0.5:
            await reader.read(1000)
        writer.transport.abort()

    async def half(self) -> None:
        """A head that does not end."""
        _, writer = await self._open()
        writer.write(b"POST /v1/x HTTP/1.1\r\nHost: soak\r\nX-Slow: ")
        await asyncio.sleep(self.chance.uniform(0, 12))
        writer.close()

    async def garbage(self) -> None:
        _, writer = await self._open()
        writer.write(self.chance.randbytes(300))
        writer.close()

    async def slow_reader(self) -> None:
        reader, writer = await self._open()
        self._ask(writer, "/v1/large?n=8000000")
        await asyncio.sleep(self.chance.uniform(1, 15))  # beyond the write timeout, or not
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self._answer(reader)
        writer.close()

    async def slow_body(self) -> None:
        reader, writer = await self._open()
        self._ask(writer, "/v1/x", "Transfer-Encoding: chunked")
        for _ in range(self.chance.randrange(1, 20)):
            if writer.is_closing() or reader.at_eof():
                break
            writer.write(b"3\r\nabc\r\n")
            await asyncio.sleep(0.5)
        with contextlib.suppress(RuntimeError, OSError, asyncio.IncompleteReadError):  # it may have been cut
            writer.write(b"0\r\n\r\n")
            await self._answer(reader, 200, 408)
        writer.close()

    async def events(self) -> None:
        reader, writer = await self._open()
        self._ask(writer, "/v1/events?n=50&ms=100")
        await reader.readuntil(b"0\r\n\r\n")
        writer.close()

    async def model(self) -> None:
        await self._on_one_of_its_own(target="/ai/chat/completions", body=QUESTION + b"}")

    async def translated(self) -> None:
        await self._on_one_of_its_own(target="/ai/messages", body=QUESTION + b"}")

    async def stream(self) -> None:
        reader, writer = await self._open()
        target = self.chance.choice(("/ai/chat/completions", "/ai/messages"))
        self._ask(writer, target, body=QUESTION + b',"stream":true}')
        await reader.readuntil(b"0\r\n\r\n")
        writer.close()

    async def leave_stream(self) -> None:
        reader, writer = await self._open()
        self._ask(writer, "/ai/chat/completions", body=QUESTION + b',"stream":true}')
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(self.chance.uniform(0, 0.9))
        writer.transport.abort()

    def close(self) -> None:
        for _, writer in self.kept:
            writer.close()


def gauges(port: int) -> dict[str, float]:
    """Sums over their labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    found: Counter[str] = Counter()
    for line in lines:
        name = line.split("{")[0].split(" ")[0]
        if name in GAUGES:
            found[name] += float(line.rpartition(" ")[2])  # type: ignore[assignment]
    return dict(found)


def sample(started: Started) -> dict[str, float]:
    """Everything that might grow, by name."""
    found = gauges(started.admin_port)
    for name, pids in (
        ("supervisor", [started.process.pid]), ("workers", started.pids("worker")), ("keeper", started.pids("keeper")),
    ):  # fmt: skip
        found[f"{name} bytes"] = sum(memory(pid).anonymous for pid in pids)
        found[f"{name} descriptors"] = sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)
    return found


async def soak(started: Started, minutes: float, rate: float) -> tuple[list[dict[str, float]], Counter[str]]:
    """Calls at a steady rate, whatever they take; the samples, and what became of the calls."""
    caller = Caller(started, seed=1)
    samples: list[dict[str, float]] = []
    calls: set[asyncio.Task[None]] = set()
    loop = asyncio.get_running_loop()
    start = time.monotonic()
    due, next_sample, next_reload, reloads = start, start + SAMPLE_S, start + 60.0, 0
    while (now := time.monotonic()) < start + minutes * 60:
        due += 1 / rate
        await asyncio.sleep(max(0.0, due - now))
        due = max(due, time.monotonic() - 1.0)  # what was missed for long is not made up for
        task = loop.create_task(caller.call())
        calls.add(task)
        task.add_done_callback(calls.discard)
        if now >= next_sample:
            next_sample += SAMPLE_S
            samples.append({"s": now - start} | await loop.run_in_executor(None, sample, started))
            print(json.dumps(samples[-1]), flush=True)
        if now >= next_reload:
            next_reload += 60.0
            reloads += 1
            started.configure(1 + reloads % 9)
    await asyncio.gather(*calls)
    caller.close()
    return samples, caller.became


def grown(samples: list[dict[str, float]]) -> list[str]:
    """What has grown between the first third after the warm-up and the last."""
    steady = samples[len(samples) // 6 :]
    third = max(1, len(steady) // 3)
    problems = []
    for name in steady[-1]:
        # Memory by what it falls back to: the keeper takes twice as much while it writes down an hour of calls.
        measure = min if name.endswith("bytes") else statistics.median
        first, last = (measure([one[name] for one in part]) for part in (steady[:third], steady[-third:]))
        print(f"{name:40} {first:>16,.1f} {last:>16,.1f}")
        if name.endswith("bytes") and last - first > max(first * GROWTH_PERCENT / 100, GROWTH_BYTES):
            problems.append(f"{name} grew from {first:,.0f} to {last:,.0f}")
        if name.endswith(("descriptors", "connections", "in_flight", "depth")) and last > first * 1.25 + 20:
            problems.append(f"{name} grew from {first:,.0f} to {last:,.0f}")
        if name.endswith("lag_seconds") and last > LAG_MAX_S:
            problems.append(f"{name} is {last:.1f}")
    return problems


def left(started: Started) -> list[str]:
    """What is still open or held when nobody calls any more."""
    end: dict[str, float] = {}
    for _ in range(60):
        end = gauges(started.admin_port)
        names = (
            "fastgw_connections",
            "fastgw_calls_in_flight",
            "fastgw_held_nanos",
            "fastgw_call_log_dropped_rows_total",
        )
        wrong = [f"{name} is {end[name]:.0f} in the end" for name in names if end.get(name)]
        if not wrong:
            return []
        time.sleep(1)
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=150.0, help="calls begun a second")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="half a minute: that it works; growth is not judged")
    options = parser.parse_args()
    minutes = 0.5 if options.quick else options.minutes
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fastgw-soak-")))
        port = free_port()
        cpus = os.sched_getaffinity(0)
        source = Process([sys.executable, str(HERE / "event_source.py"), str(port)], cpus, directory / "source.log")
        stack.enter_context(source).wait_ready({port})
        provider_port = free_port()
        argv = [str(compile_c(HERE / "provider.c", directory)), str(provider_port), str(EVENTS), str(INTERVAL_US)]
        provider = Process(argv, cpus, directory / "provider.log")
        stack.enter_context(provider).wait_ready({provider_port})
        models = MODELS.format(port=provider_port)
        started = stack.enter_context(gateway(directory, port, workers=options.workers, cpus=cpus, tables=models))
        samples, became = uvloop.run(soak(started, minutes, options.rate))
        problems = left(started)
        log = started.process.log.read_text()
    print(json.dumps(dict(sorted(became.items()))))
    if not options.quick:
        problems += grown(samples)
    problems += [
        line for line in log.splitlines() if "error" in line or "Traceback" in line or "starting another" in line
    ]
    problems += [f"{kind}: {times}" for kind, times in became.items() if ":" in kind and not kind.startswith("cut")]
    print("\n".join(problems) or f"nothing has grown in {minutes:g} minutes and {became.total():,} calls")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

"""Reconciles what a gateway charges for calls to models with what their provider has counted, to the nano.

`python tests/ai/reconcile.py --calls 10000 --seed 7`: callers of every dialect ask providers of every dialect,
streaming or not, with tools, caches and reasoning, of many accounts, some of them poor. A tenth hang up in mid-stream,
the provider fails another tenth, and again and again, while streams stand still whose tokens both sides know, somebody
is killed with -9: a worker, the keeper, the supervisor, all. In the end, per account:

    Σ captures in the ledger = Σ over calls of what the provider counted, at the model's prices
    no account was below zero in any reading; `fastgw audit` finds nothing; no hold is left open

Where the gateway itself ends a stream, for want of money, the provider may have sent more than was relayed: then what
the caller has read is what counts. Calls under way at a kill that were not standing still are charged between what the
caller read and what the provider sent; they are in accounts of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvloop

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "blackbox"), str(HERE.parent)]

from fronts import PRICES, configuration  # noqa: E402
from gateway import COMMAND, Gateway, account, clean_environment, eventually, get, key  # noqa: E402
from mixed import PROVIDERS, Call, draw, lockstep  # noqa: E402
from provider import Bill  # noqa: E402
from talkers import Line, nanos  # noqa: E402
from watcher import Watcher  # noqa: E402

SETTLED_S = 10.0
RICH = [f"rich-{n}" for n in range(8)]
POOR = [f"poor-{n}" for n in range(24)]
WILD = [f"wild-{n}" for n in range(4)]  # whose calls are under way at kills
POOR_BALANCE = "0.002"  # some ten calls
VICTIMS = ("worker", "worker", "workers", "keeper", "supervisor", "all")


def key_of(name: str) -> str:
    return f"sk-reconcile-{name}-0001"


@dataclass
class Outcome:
    """What a run came to; `wrong` is empty when every promise was kept."""

    seed: int
    calls: list[Call] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    readings: int = 0
    captured: int = 0  # nanos
    counted: int = 0
    wrong: list[str] = field(default_factory=list)

    def summary(self) -> str:
        statuses = Counter(call.status for call in self.calls)
        ends = Counter(call.code or ("whole" if call.whole else "cut") for call in self.calls)
        return (
            f"{len(self.calls)} calls, statuses {dict(statuses)}, ends {dict(ends)}, kills {dict(self.kills)}, "
            f"{self.readings} readings, {self.captured} nanos in the ledger, {self.counted} by the provider"
        )


class Upstream:
    """The provider, as a process that no kill reaches."""

    def __init__(self) -> None:
        self.process = subprocess.Popen([sys.executable, str(HERE / "provider")], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"

    def now(self) -> int:
        """How many calls are under way."""
        return int(get(f"{self.url}/-/now")[1])

    def bills(self) -> dict[str, list[Bill]]:
        """By the id of the call."""
        found: defaultdict[str, list[Bill]] = defaultdict(list)
        for row in json.loads(get(f"{self.url}/-/books", timeout_s=60)[1]):
            found[row["call"]].append(Bill(**row))
        return found

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


class Run:
    """One gateway, its accounts and callers."""

    def __init__(self, directory: Path, seed: int, callers: int) -> None:
        self.outcome = Outcome(seed)
        self.chance = random.Random(seed ^ 0x5EED)
        self.callers = callers
        self.upstream = Upstream()
        self.gateway = Gateway(directory, self.upstream.url)
        self.restarts = 0

    def configure(self) -> None:
        gateway, poor = self.gateway, set(POOR)
        gateway.file.write_text(
            configuration(self.upstream.url, PRICES)
            + "".join(account(name, POOR_BALANCE if name in poor else "1000") for name in self.names())
            + "".join(key(key_of(name), name) for name in self.names())
        )

    def names(self) -> list[str]:
        return [*RICH, *POOR, *WILD]

    def run(self, calls: int, rounds: int, standing: int) -> Outcome:
        with self.gateway as gateway:
            try:
                self.configure()
                gateway.start()
                watcher = Watcher(gateway.segment_dir, gateway.state_dir, self.names())
                every = list(draw(self.outcome.seed, calls, RICH, POOR))
                share = -(-len(every) // (rounds + 1))
                for n in range(rounds + 1):
                    self.call(every[n * share : (n + 1) * share])
                    if n < rounds:
                        self.kill_among(n, standing)
                self.wait_until_settled()
                seen = watcher.stop()
                self.outcome.readings = seen["readings"]
                self.outcome.wrong += [f"more was committed than there was: {row}" for row in seen["broken"]]
                self.reconcile()
                if gateway.stop(60) != 0:
                    self.wrong("it did not end with 0")
            finally:
                self.upstream.close()
        return self.outcome

    def wrong(self, text: str) -> None:
        self.outcome.wrong.append(text)

    # Calls

    def call(self, calls: list[Call]) -> None:
        """Make these calls, `callers` at once."""
        uvloop.run(self._call(calls))
        self.outcome.calls += calls

    async def _call(self, calls: list[Call]) -> None:
        waiting: Iterator[Call] = iter(calls)

        async def caller() -> None:
            line = Line(self.gateway.port)
            for call in waiting:
                await line.ask(call, key_of(call.account))
            line.close()

        async with asyncio.TaskGroup() as group:
            for _ in range(self.callers):
                group.create_task(caller())

    def kill_among(self, number: int, standing: int) -> None:
        """Let streams come to a standstill, others go on, and kill somebody among them."""
        victim = self.chance.choice(VICTIMS)
        still = [
            lockstep(self.chance, f"{name}/k{number}.{n}", name, caller, model)
            for n in range(standing)
            for name, caller, model in [
                (self.chance.choice(RICH), self.chance.choice(["chat", "messages"]), self.chance.choice(PROVIDERS))
            ]
        ]
        moving = list(draw(self.outcome.seed + 1_000 + number, standing, WILD, WILD, f"k{number}."))
        for call in moving:
            # To their end, unless they are cut off: then what was cached is not known, a piece of a stream is taken for
            # a token, and sealed thoughts for as many as their bytes.
            call.aborted = None
            call.order = call.order.righted().with_(pace_s=0.005, per_chunk=1, cached=0, written=0, think=0)
        uvloop.run(self._kill_among(victim, still, moving))
        self.outcome.calls += [*still, *moving]
        self.outcome.kills[victim] += 1
        eventually(lambda: self.gateway.call(key_of(RICH[0]), "/v1/models") == 200, SETTLED_S, "it did not come back")

    async def _kill_among(self, victim: str, still: list[Call], moving: list[Call]) -> None:
        over = asyncio.Event()
        stands = asyncio.Semaphore(0)

        async def paused() -> None:
            stands.release()
            await over.wait()

        async def ask(call: Call, pausing: bool) -> None:
            line = Line(self.gateway.port)
            await line.ask(call, key_of(call.account), paused if pausing else None)
            line.close()

        async with asyncio.TaskGroup() as group:
            for call in still:
                group.create_task(ask(call, True))
            async with asyncio.timeout(30):
                for _ in still:
                    await stands.acquire()
            for call in moving:
                group.create_task(ask(call, False))
            await asyncio.sleep(self.chance.random() * 0.1)
            await asyncio.to_thread(self.kill, victim)
            over.set()

    def kill(self, victim: str) -> None:
        """kill -9; who does not come back by itself is started again."""
        gateway = self.gateway
        match victim:
            case "worker":
                gateway.kill(self.chance.choice(gateway.workers()))
            case "workers":
                for pid in gateway.workers():
                    gateway.kill(pid)
            case "keeper":
                gateway.kill(gateway.children()["keeper"])
            case _:
                if victim == "all":
                    gateway.kill_everything()
                else:
                    gateway.kill_supervisor()
                gateway.start()

    # The books

    def wait_until_settled(self) -> None:
        eventually(lambda: self.upstream.now() == 0, SETTLED_S, "calls to the provider do not end")
        eventually(self.gateway.ready, SETTLED_S, "the keeper did not come back")
        try:
            eventually(lambda: all(self.gateway.money(name)["held"] == 0 for name in self.names()), SETTLED_S)
        except AssertionError:
            left = {name: money for name in self.names() if (money := self.gateway.money(name))["held"]}
            self.wrong(f"holds are left open: {left}")

    def reconcile(self) -> None:
        bills = self.upstream.bills()
        due: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])  # at least, at most
        for call in self.outcome.calls:
            self.outcome.wrong += [f"{call.id}: {trouble}" for trouble in call.trouble]
            least, most = self.due(call, bills.get(call.id, []))
            due[call.account][0] += least
            due[call.account][1] += most
            if call.cost >= 0 and not least <= call.cost <= most:
                self.wrong(f"{call.id}: told {call.cost}, due {least} to {most}: {call} {bills.get(call.id)}")
        for name in self.names():
            least, most = due[name]
            captured = self.captured(name)
            self.outcome.captured += captured
            self.outcome.counted += most
            if not least <= captured <= most:
                untold = [call for call in self.outcome.calls if call.account == name and call.cost < 0]
                like = [call.id for call in untold if self.due(call, bills.get(call.id, []))[0] == least - captured]
                self.wrong(f"{name}: the ledger has {captured}, due are {least} to {most}; as much as {like}")
        self.audit()

    def due(self, call: Call, bills: list[Bill]) -> tuple[int, int]:
        """What a call is to be charged, in nanos: at least and at most, which are the same where both sides know."""
        counted = sum(bill.cost(PRICES) for bill in bills if bill.status == 200)
        stopped = call.account in POOR and (call.code or not call.whole)
        if call.account not in WILD and not stopped:
            return counted, counted
        read = bills[-1].input * PRICES["input"] + call.tokens * PRICES["output"] if bills and call.tokens else 0
        if stopped:
            # What a provider has told in the same breath as what could not be relayed any more is charged too.
            return read, counted
        # Of one that was cut off, an estimate: the name of a tool, for which this provider counts nothing, is a token.
        names = 0 if call.whole else len(call.order.call)
        return min(read, counted), counted + names * PRICES["output"]

    def captured(self, name: str) -> int:
        """Nanos in the ledger; the balance is what is left, and no less than nothing."""
        sums: Counter[str] = Counter()
        for entry in self.entries(name):
            sign = -1 if entry["amount"].startswith("-") else 1
            sums[entry["kind"]] += sign * nanos(entry["amount"].lstrip("-"))
        text = self.admin(f"/v1/accounts/{name}")["balance"]
        if text.startswith("-") or nanos(text) != sum(sums.values()):
            self.wrong(f"{name}: the balance is {text}, its entries make {dict(sums)}")
        return -sums["capture"]

    def entries(self, name: str) -> Iterator[dict[str, Any]]:
        """All entries of an account, page by page."""
        page = self.admin(f"/v1/accounts/{name}/entries")
        yield from page["items"]
        while page["next"] is not None:
            page = self.admin(f"/v1/accounts/{name}/entries?cursor={page['next']}")
            yield from page["items"]

    def admin(self, path: str) -> dict[str, Any]:
        token = (self.gateway.state_dir / "admin-token").read_text().strip()
        fields = {"Authorization": f"Bearer {token}"}
        answer = httpx.get(self.gateway.admin_url + path, headers=fields, timeout=20, trust_env=False)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def audit(self) -> None:
        where = ["--admin", f"127.0.0.1:{self.gateway.admin_port}", "--state-dir", str(self.gateway.state_dir)]
        done = subprocess.run(
            [COMMAND, "audit", "--json", *where],
            capture_output=True, text=True, check=False, timeout=60, env=clean_environment(),
        )  # fmt: skip
        if done.returncode != 0:
            self.wrong(f"the audit ended with {done.returncode}: {done.stdout[:2000]} {done.stderr[:500]}")


def run(directory: Path, seed: int, *, calls: int, callers: int, rounds: int, standing: int) -> Outcome:
    """Make `calls` calls, `callers` at once, with a kill after each of `rounds` parts, `standing` streams under way."""
    return Run(directory, seed, callers).run(calls, rounds, standing)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--callers", type=int, default=200, help="calls at once")
    parser.add_argument("--rounds", type=int, default=20, help="kills")
    parser.add_argument("--standing", type=int, default=40, help="streams that stand still at each kill")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    began = time.monotonic()
    sizes = {name: getattr(arguments, name) for name in ("calls", "callers", "rounds", "standing")}
    with tempfile.TemporaryDirectory(prefix="fastgw-reconcile-") as directory:
        outcome = run(Path(directory), arguments.seed, **sizes)
    print(f"{outcome.summary()}; {time.monotonic() - began:.0f} s")
    for line in outcome.wrong:
        print(f"WRONG (seed {outcome.seed}): {line}")
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(main())

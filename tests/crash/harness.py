"""Kills a gateway under load again and again, and then compares what clients, upstream, ledger and call log say.

`python tests/crash/harness.py --points 200 --seed 7`: one gateway, four accounts that spend in different ways,
top-ups that never stop, and at every point a kill -9 of a worker, the keeper, the supervisor or all of them, after a
pause drawn from the seed. In the end, to the nano:

    what clients were told  ≤  what was charged  ≤  what the upstream served
    ledger = segment = call log                     (`fastgw audit`)
    every top-up acknowledged, or retried until it was, is in the ledger once
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "blackbox"), str(HERE.parent)]

from callers import Callers, Told  # noqa: E402
from gateway import COMMAND, NANOS, Gateway, account, clean_environment, eventually, get, key, table  # noqa: E402
from sampler import Sampler  # noqa: E402

RECOVERED_S = 5.0
TOP_UP = 50_000_000
OPENING = {"plenty": "1000", "metered": "1000", "dry": "0.05", "bound": "1000"}
QUOTA = 4_000
BUDGET = 3 * NANOS
BOUNDS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    **dict.fromkeys(OPENING, ({}, {})),
    "bound": ({"plan": "small"}, {"budget": "3"}),
}  # of accounts, and of their keys
KEYS = {name: f"sk-crash-{name}-0001" for name in OPENING}
TARGETS = {
    "plenty": (KEYS["plenty"], "/v1/fixed/plenty"),
    "metered": (KEYS["metered"], "/v1/metered/metered"),
    "dry": (KEYS["dry"], "/v1/metered/dry"),
    "bound": (KEYS["bound"], "/v1/fixed/bound"),
}
VICTIMS = ("worker", "worker", "worker", "keeper", "keeper", "supervisor", "all")


@dataclass
class Outcome:
    """What a run came to; `wrong` is empty when every promise was kept."""

    seed: int
    kills: Counter[str] = field(default_factory=Counter)
    recovery_s: list[float] = field(default_factory=list)
    calls: int = 0
    served: int = 0
    top_ups: int = 0
    wrong: list[str] = field(default_factory=list)


class Oracle:
    """The upstream, a process that no kill reaches."""

    def __init__(self) -> None:
        self.process = subprocess.Popen([sys.executable, str(HERE / "oracle.py")], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"

    def books(self) -> dict[str, list[int]]:
        """Calls and nanos by account."""
        found: dict[str, list[int]] = json.loads(get(f"{self.url}/-/books")[1])
        return found

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


class TopUps:
    """Tops up the account that runs dry, all the time: a top-up is tried with the same key until it is acknowledged."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.over = threading.Event()
        self.acknowledged = 0
        self.strange: list[str] = []
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.over.set()
        self.thread.join(60)

    def _run(self) -> None:
        url = f"{self.gateway.admin_url}/v1/accounts/dry/topups"
        body = {"amount": "0.05", "reference": "crash run"}
        client = httpx.Client(timeout=5, trust_env=False)
        while not self.over.is_set():
            fields = {"Idempotency-Key": f"run-{self.acknowledged}", "Authorization": f"Bearer {self._token()}"}
            status = 0
            while status not in (200, 201):
                try:
                    answer = client.post(url, json=body, headers=fields)
                    status = answer.status_code
                    if status >= 400 and status != 503:
                        self.strange.append(f"a top-up was answered {status}: {answer.text[:200]}")
                        return
                except httpx.HTTPError:
                    pass
                time.sleep(0.01)
            self.acknowledged += 1

    def _token(self) -> str:
        return (self.gateway.state_dir / "admin-token").read_text().strip()


class Run:
    """One gateway, its load, and a list of crashes."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.outcome = Outcome(seed)
        self.oracle = Oracle()
        self.gateway = Gateway(directory, self.oracle.url)

    def configure(self) -> None:
        """Two routes; accounts with plenty, charged what the upstream says, that run dry, and bounded in number."""
        gateway = self.gateway
        common = {"upstream": "service", "price": "0.001"}
        gateway.file.write_text(
            "[server]\n"
            + table("upstreams", name="service", targets=[self.oracle.url])
            + table("routes", name="fixed", path="/v1/fixed/", **common)
            + table("routes", name="metered", path="/v1/metered/", **{**common, "price": "0.01"}, cost_header="X-Cost")
            + table("plans", name="small", requests_per_month=QUOTA)
            + "".join(account(name, money, **BOUNDS[name][0]) for name, money in OPENING.items())
            + "".join(key(KEYS[name], name, **BOUNDS[name][1]) for name in OPENING)
        )  # fmt: skip

    def crash(self) -> None:
        """Kill somebody, and see to it that calls are served again in time."""
        victim = self.chance.choice(VICTIMS)
        self.outcome.kills[victim] += 1
        gateway = self.gateway
        before = self.oracle.books().get("plenty", [0])[0]
        started = time.monotonic()
        if victim == "worker":
            if workers := gateway.workers():
                os.kill(self.chance.choice(workers), signal.SIGKILL)
        elif victim == "keeper":
            if keeper := gateway.children().get("keeper"):
                os.kill(keeper, signal.SIGKILL)
        else:
            if victim == "all":
                gateway.kill_everything()
            else:
                gateway.kill_supervisor()
            gateway.start()
        eventually(lambda: self.oracle.books()["plenty"][0] > before, 4 * RECOVERED_S)
        self.outcome.recovery_s.append(time.monotonic() - started)
        if self.outcome.recovery_s[-1] > RECOVERED_S:
            self.wrong(f"calls were served {self.outcome.recovery_s[-1]:.1f} s after the kill of {victim}")

    def wrong(self, text: str) -> None:
        self.outcome.wrong.append(text)

    def run(self, points: int) -> Outcome:
        with self.gateway as gateway:
            try:
                self.configure()
                gateway.start()
                callers = Callers(gateway.port, TARGETS, connections=8)
                callers.start()
                top_ups = TopUps(gateway)
                samplers = self._samplers()
                for _ in range(points):
                    # While it starts, or once all of it serves.
                    time.sleep(self.chance.choice((0.2, 2.5)) * self.chance.random())
                    self.crash()
                top_ups.stop()
                callers.stop()
                eventually(gateway.ready, 4 * RECOVERED_S)
                for sampler in samplers:
                    sampler.__exit__()
                    for reading in sampler.broken:
                        self.wrong(f"more was committed than there was: {reading}")
                self.reconcile(callers.told, top_ups)
                if gateway.stop() != 0:
                    self.wrong("it did not end with 0")
            finally:
                self.oracle.close()
        return self.outcome

    def _samplers(self) -> list[Sampler]:
        samplers = [Sampler(self.gateway.segment(), name) for name in OPENING]
        for sampler in samplers:
            sampler.__enter__()
        return samplers

    # The books

    def reconcile(self, told: dict[str, Told], top_ups: TopUps) -> None:
        gateway = self.gateway
        self.outcome.wrong += top_ups.strange
        self.outcome.top_ups = top_ups.acknowledged
        try:
            eventually(lambda: all(gateway.money(name)["held"] == 0 for name in OPENING), RECOVERED_S)
        except AssertionError:
            self.wrong(f"holds are left open: {[gateway.money(name) for name in OPENING]}")
        books = self.oracle.books()
        for name in OPENING:
            entries = self.entries(name)
            sums: Counter[str] = Counter()
            for entry in entries:
                sums[entry["kind"]] += nanos(entry["amount"])
            served, cost = books.get(name, [0, 0])
            charged = -sums["capture"]
            self.outcome.calls += told[name].statuses.total()
            self.outcome.served += served
            if not told[name].nanos <= charged <= cost:
                self.wrong(f"{name}: clients were told of {told[name].nanos}, charged were {charged}, served {cost}")
            if strange := set(told[name].statuses) - {200, 402}:
                self.wrong(f"{name}: answers with {strange}, codes {told[name].codes}")
            balance = nanos(self.admin(f"/v1/accounts/{name}")["balance"])
            if balance != sum(sums.values()) or balance < 0:
                self.wrong(f"{name}: the balance is {balance}, its entries make {dict(sums)}")
            paid_in = top_ups.acknowledged * TOP_UP if name == "dry" else 0
            if sums["topup"] != paid_in or sums["opening"] != nanos(OPENING[name]):
                self.wrong(f"{name}: paid in were {paid_in}, entered are {dict(sums)}")
        if books["bound"][0] > QUOTA + told["bound"].cut or -self.captured("bound") < -BUDGET:
            self.wrong(f"bound: {books['bound']} served over a quota of {QUOTA} and a budget of {BUDGET}")
        where = ["--admin", f"127.0.0.1:{gateway.admin_port}", "--state-dir", str(gateway.state_dir)]
        audit = subprocess.run(
            [COMMAND, "audit", "--json", *where],
            capture_output=True, text=True, check=False, timeout=60, env=clean_environment(),
        )  # fmt: skip
        if audit.returncode != 0:
            self.wrong(f"the audit ended with {audit.returncode}: {audit.stdout[:2000]} {audit.stderr[:500]}")

    def captured(self, name: str) -> int:
        return self.gateway.money(name)["captured"]

    def entries(self, name: str) -> list[dict[str, Any]]:
        """All entries of an account, page by page."""
        page = self.admin(f"/v1/accounts/{name}/entries")
        found: list[dict[str, Any]] = page["items"]
        while page["next"] is not None:
            page = self.admin(f"/v1/accounts/{name}/entries?cursor={page['next']}")
            found += page["items"]
        return found

    def admin(self, path: str) -> dict[str, Any]:
        """What the admin API answers."""
        token = (self.gateway.state_dir / "admin-token").read_text().strip()
        answer = httpx.get(
            self.gateway.admin_url + path, headers={"Authorization": f"Bearer {token}"}, timeout=20, trust_env=False
        )
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


def nanos(amount: str) -> int:
    """Decimal money as nanos."""
    sign = -1 if amount.startswith("-") else 1
    units, _, rest = amount.lstrip("-").partition(".")
    return sign * (int(units) * NANOS + int(rest.ljust(9, "0") or 0))


def run(directory: Path, points: int, seed: int) -> Outcome:
    """Crash a gateway at `points` random points."""
    return Run(directory, seed).run(points)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--points", type=int, default=200, help="crashes (default: 200, some four minutes)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}, {arguments.points} crashes", flush=True)
    with tempfile.TemporaryDirectory(prefix="fastgw-crash-") as directory:
        outcome = run(Path(directory), arguments.points, arguments.seed)
    slowest = max(outcome.recovery_s, default=0.0)
    print(
        f"{outcome.calls} calls, {outcome.served} served, {outcome.top_ups} top-ups, kills {dict(outcome.kills)}, "
        f"slowest recovery {slowest:.2f} s"
    )
    for line in outcome.wrong:
        print(f"WRONG (seed {outcome.seed}): {line}")
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""Kill -9 of the keeper at every step: when another has started and the rest is done, all is as if nothing happened."""

import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from desk import DAY_S, SECOND, START_NS, Desk, a_config, a_key, an_account

from fastgw.ledger.errors import Conflict
from fastgw.model import Plan

PLAN = Plan("p", day_quota=5, allowance_nanos=40)
FIRST = a_config([an_account("a", 100, plan="p"), an_account("b", 50)], [a_key(account="a", budget_nanos=9)], [PLAN])
SECOND_CONFIG = a_config([an_account("a", 120, plan="p"), an_account("c", 7)], [a_key(account="c")], [PLAN])
LOWER = a_config([an_account("a", 90, plan="p"), an_account("b", 50), an_account("c", 7)], [], [PLAN])

LONG = "FASTGW_LONG" in os.environ
Step = Callable[[Desk], object]


def create(name: str) -> Step:
    def work(desk: Desk) -> None:
        try:
            desk.books.create_account(name)
        except Conflict:
            assert desk.books.account(name).balance_nanos == 0, "it was made before the keeper was killed"

    return work


def spend(name: str, cost: int) -> Step:
    def work(desk: Desk) -> None:
        assert desk.call(cost, name)

    return work


def count(desk: Desk) -> None:
    meter = desk.money("a")["day"]
    assert desk.segment.hold(0, meter, 1)
    desk.segment.capture(0, meter, 1, 1)


def to(seconds: int) -> Step:
    """The clock stands there; what came due is done."""

    def work(desk: Desk) -> None:
        desk.now_ns = START_NS + seconds * SECOND
        desk.turn()

    return work


def top_up(name: str, amount: int, key: str, hours: int = 0) -> Step:
    expires_s = START_NS // SECOND + 3600 * hours if hours else 0
    return lambda desk: desk.books.top_up(name, amount, expires_s=expires_s, idempotency_key=key)


def adjust(name: str, amount: int, key: str) -> Step:
    return lambda desk: desk.books.adjust(name, amount, note="n", idempotency_key=key)


def load(config: Any) -> Step:
    def work(desk: Desk) -> None:
        desk.config = config
        desk.books.apply(config)
        desk.turn()

    return work


SCENARIO: list[Step] = [
    load(FIRST), spend("a", 3), count, create("api"), top_up("api", 30, "k1"), spend("api", 11), to(1),
    adjust("api", -9, "k2"), top_up("a", 60, "k3", hours=1), spend("a", 90), top_up("a", 25, "k4", hours=2), to(3600),
    load(SECOND_CONFIG), spend("c", 2), count, to(2 * 3600), adjust("a", 4, "k5"), spend("a", 1), to(DAY_S), count,
    load(LOWER), lambda desk: desk.books.entries("a"), spend("b", 50), to(30 * DAY_S), adjust("b", 1, "k6"),
]  # fmt: skip


def outcome(desk: Desk) -> dict[str, object]:
    """Everything that must be the same, however often keepers were killed on the way."""
    desk.turn()
    found: dict[str, object] = {}
    for view in desk.books.accounts():
        sums: Counter[str] = Counter()
        for entry in desk.books.entries(view.name):
            sums[entry.kind] += entry.amount_nanos
        money = desk.money(view.name)
        quotas = [(quota.limit, quota.used) for quota in view.quotas]
        assert money["committed"] == money["captured"] + money["taken"], "nothing is left held"
        found[view.name] = (view.status, view.balance_nanos, dict(sums), quotas)
    return found


def run(desk: Desk, scenario: list[Step], done: int, kill_at: int) -> int:
    """Go on with the scenario in another process, killed at its step `kill_at`; how many of it are done then."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            steps = 0

            def at(_: str) -> None:
                nonlocal steps
                steps += 1
                if steps == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)

            desk.at = at
            desk.start()
            for work in scenario[done:]:
                work(desk)
                os.write(write, b".")
            os._exit(0)
        finally:
            os._exit(1)
    os.close(write)
    with open(read, "rb") as pipe:
        done += len(pipe.read())
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -signal.SIGKILL)
    assert (code == 0) == (done == len(scenario))
    return done


def configured(desk: Desk, done: int) -> None:
    """Let the desk's next start use clock and configuration of the steps that are done."""
    desk.now_ns = START_NS
    desk.config = FIRST
    for step, (config, now_s) in STATES.items():
        if done > step:
            desk.config, desk.now_ns = config, START_NS + now_s * SECOND


STATES = {0: (FIRST, 0), 6: (FIRST, 1), 11: (FIRST, 3600), 12: (SECOND_CONFIG, 3600), 15: (SECOND_CONFIG, 2 * 3600),
          18: (SECOND_CONFIG, DAY_S), 20: (LOWER, DAY_S), 23: (LOWER, 30 * DAY_S)}  # fmt: skip


@pytest.mark.parametrize("stride", [9, pytest.param(1 if LONG else 2, marks=pytest.mark.slow)])
def test_killed_at_every_step(memory: Path, stride: int) -> None:
    """One run for each step, or for some of them, in which the keeper is killed there once, and another goes on."""
    folder = memory / "whole"
    folder.mkdir()
    with Desk(folder) as whole:
        whole.start(FIRST)
        for work in SCENARIO:
            work(whole)
        expected = outcome(whole)
    assert len(expected) == 4
    kills = 0
    kill_at = 1
    while kills * stride == kill_at - 1:
        folder = memory / str(kill_at)
        folder.mkdir()
        desk = Desk(folder)
        configured(desk, 0)
        done = run(desk, SCENARIO, 0, kill_at)
        if done < len(SCENARIO):
            kills += 1
            configured(desk, done)
            assert run(desk, SCENARIO, done, -1) == len(SCENARIO)
        with desk:
            configured(desk, len(SCENARIO))
            desk.start()
            assert outcome(desk) == expected, f"killed at step {kill_at}, after {done} of the scenario"
        kill_at += stride
    assert kills * stride > 75, "it has that many steps"


@pytest.mark.parametrize(
    "patience", [19, pytest.param(11, marks=pytest.mark.slow), pytest.param(14, marks=pytest.mark.slow)]
)
def test_killed_again_and_again(memory: Path, patience: int) -> None:
    """Keepers that are killed every few steps get there in the end."""
    folder = memory / "whole"
    folder.mkdir()
    with Desk(folder) as whole:
        whole.start(FIRST)
        for work in SCENARIO:
            work(whole)
        expected = outcome(whole)
    desk = Desk(memory)
    done = runs = 0
    while done < len(SCENARIO):
        configured(desk, done)
        done = run(desk, SCENARIO, done, patience + runs // 4)
        runs += 1
        assert runs < 200
    with desk:
        configured(desk, done)
        desk.start()
        assert outcome(desk) == expected
    assert runs > 3

"""Money is right in every order of steps and at every kill, as far as the model goes; and the model can tell.

Histories of few steps are all tried, longer ones at random: the seed is the test's, and FASTGW_SEED moves all of them.
"""

import os
from dataclasses import replace

import pytest
from model import KEEPER, MUTATIONS, Call
from schedule import Broken, Scenario, explore, wander

SEED = int(os.environ.get("FASTGW_SEED", "0"))
TIMES = int(os.environ.get("FASTGW_LONG", "1"))  # so many times as many histories

PART = Call((7, 1), (4, 1))  # holds 7 nanos and one call, is charged 4 and the call
WHOLE = Call((5, 0), (5, 0))
VOID = Call((6, 1), (0, 0))
FULL = Call((7, 1), (7, 1))
FREE = Call((0, 1), (0, 1))  # a free route with a quota
GROWS = Call((3, 1), (2, 1), ((4, 0), (2, 1)))  # as a tunnel or a stream does; its second step is of both
EARNS = Call((3, 1), (2, 1), ((4, 0), (2, 0)), (2, 6, 8))  # is paid for as it goes
STARTS = Call((0, 1), (0, 1), ((5, 0),))  # holds no money before it grows

DRAINED = Scenario((20, 5), ((PART,),), (("drain", 0),))
CONTENDED = Scenario((10, 5), ((PART,), (WHOLE,)), (), kills=0)
KILLED = replace(CONTENDED, kills=1, killable=(0,))
TAKEN = Scenario((10, 5), ((PART,),), (("take", 6),))
TOPPED_UP = Scenario((5, 5), ((PART,),), (("top up", 3), ("take", 6)))
TWICE = Scenario((10, 5), ((WHOLE,),), (("take", 6),), kills=2, coarse=True)
BOTH = Scenario((30, 5), ((WHOLE,), (WHOLE,)), (), kills=2, coarse=True)
QUOTA = Scenario((10, 1), ((FREE,), (FULL,)), (), killable=(1,))
GROWING = Scenario((12, 5), ((GROWS,),), (("drain", 0),))
EARNED = Scenario((9, 5), ((EARNS,),), (), kills=2)
WANTED = Scenario((9, 5), ((EARNS,), (WHOLE,)), (), killable=(0,), coarse=True)
OUTGROWN = Scenario((8, 5), ((GROWS,), (WHOLE,)), (), killable=(0,))
STARTED = Scenario((9, 5), ((STARTS,), (GROWS,)), (), killable=(1,), coarse=True)
REPLACED = Scenario((12, 5), ((PART,),), (), calls_after=(WHOLE,))

SCENARIOS = {
    "a worker and a keeper that reads": DRAINED,
    "two workers and money for one": CONTENDED,
    "two workers, one is killed": KILLED,
    "a worker and a keeper that takes": TAKEN,
    "a keeper that tops up and takes": TOPPED_UP,
    "two kills of worker, keeper or who recovers": TWICE,
    "two workers, any of them killed twice": BOTH,
    "a quota for one call": QUOTA,
    "a worker in the place of a killed one": REPLACED,
    "a call that grows": GROWING,
    "a call that is paid for as it goes, killed twice": EARNED,
    "a call that is paid for as it goes and one that wants the money": WANTED,
    "a call that grows and one that wants the money": OUTGROWN,
    "two calls that grow": STARTED,
}
LONG = [
    "two kills of worker, keeper or who recovers",
    "two workers, any of them killed twice",
    "a call that is paid for as it goes and one that wants the money",
    "a call that grows and one that wants the money",
    "two calls that grow",
]


@pytest.mark.parametrize(
    "name",
    [name for name in SCENARIOS if name not in LONG] + [pytest.param(name, marks=pytest.mark.slow) for name in LONG],
)
def test_every_order_of_steps_and_every_kill_leaves_the_books_right(name: str) -> None:
    states, ends = explore(SCENARIOS[name])
    assert states > 100
    assert ends > 1


@pytest.mark.parametrize("keepers_is_there", [True, False], ids=["is there", "is not there"])
@pytest.mark.parametrize("workers_is_there", [True, False], ids=["is there", "is not there"])
def test_supervisor_and_keeper_recover_at_the_same_time(keepers_is_there: bool, workers_is_there: bool) -> None:
    """Both were killed in a hold: what each claims is in `committed`, or not yet."""
    left = ((KEEPER, 5, keepers_is_there), (0, 7, workers_is_there))
    scenario = Scenario((50, 5), ((),), kills=0, left=left, coarse=True)
    explore(scenario)
    if not (keepers_is_there and workers_is_there):
        with pytest.raises(Broken, match="what is held or charged is not committed"):
            explore(replace(scenario, mutation="claims are not compared"))


def long_history(seed: int, mutation: str = "") -> Scenario:
    return Scenario(
        granted=(seed * 7919 % 41, 6),
        calls=((PART, VOID, FULL), (WHOLE, GROWS, EARNS), (EARNS, STARTS, FREE)),
        duties=(("drain", 0), ("top up", 5), ("take", 9), ("drain", 0), ("take", 4)),
        kills=3,
        mutation=mutation,
        calls_after=(EARNS, VOID),
    )


def test_long_random_histories_with_kills_leave_the_books_right() -> None:
    killed = 0
    for seed in range(SEED, SEED + 200):
        run = wander(long_history(seed), seed)
        killed += sum(line.endswith("KILLED") for line in run.history)
    assert killed > 200


@pytest.mark.slow
def test_many_long_random_histories_leave_the_books_right() -> None:
    for seed in range(SEED, SEED + 1_500 * TIMES):
        wander(long_history(seed), seed)


FINDS = {
    "captured before the intent": (DRAINED, "charges are not the calls'"),
    "published before captured": (DRAINED, "charges are not the calls'"),
    "committed before reserved": (KILLED, "what is held or charged is not committed"),
    "released before committed": (KILLED, "what is held is not claimed"),
    "released before captured": (KILLED, "what is held is not claimed"),
    "dirty before captured": (DRAINED, "the ledger missed a charge"),
    "cleared after it is read": (DRAINED, "the ledger missed a charge"),
    "granted before the entry": (TOPPED_UP, "more is granted than the ledger knows"),
    "kept before the entry": (TAKEN, "more was taken than the ledger knows"),
    "entry before the money is held": (TAKEN, "what is held or charged is not committed"),
    "recovery does not finish": (DRAINED, "a call is not recorded"),
    "recovery marks nothing": (DRAINED, "the ledger missed a charge"),
    "claims are not compared": (KILLED, "what is held or charged is not committed"),
    "spent before it is held": (OUTGROWN, "a hold is left open"),
    "noted before it is held": (WANTED, "what is held or charged is not committed"),
    "emptied before the intent": (EARNED, "what was noted is not charged"),
    "emptied after it is published": (EARNED, "what is held or charged is not committed"),
    "recovery leaves what is noted": (EARNED, "what is held or charged is not committed"),
}


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.replace(" ", "-"))
def test_two_steps_in_the_wrong_order_are_found(mutation: str) -> None:
    """What keeps the money right is the order of stores: each that is broken here breaks an invariant."""
    scenario, finding = FINDS[mutation]
    with pytest.raises(Broken) as broken:
        explore(replace(scenario, mutation=mutation))
    assert str(broken.value).splitlines()[0] == finding

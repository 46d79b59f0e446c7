"""The choice among servers by itself, on injected clocks: shares, rings, latencies, and the budget of retries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fastgw.dataplane.policies import Candidate, Hash, Latency, LeastConnections, Policy, RoundRobin
from fastgw.dataplane.retries import BURST, ONE, RATE_PER_S, Budget

SPREAD = 2**64 // 10_000


def candidates(*weights: int) -> list[Candidate]:
    return [Candidate(i, b"", f"server-{i}", weight) for i, weight in enumerate(weights, 1)]


def picked(policy: Policy, ready: Sequence[Candidate], many: int) -> list[int]:
    return [policy.pick(list(ready), 0, None).number for _ in range(many)]


def owners(ring: Hash, ready: Sequence[Candidate]) -> list[int]:
    """Who has each of ten thousand places of the ring."""
    return [ring.pick(list(ready), i * SPREAD, None).number for i in range(10_000)]


def test_turns_are_smooth_and_as_many_as_the_weights_say() -> None:
    assert picked(RoundRobin(), candidates(5, 1, 1), 14) == [1, 1, 2, 1, 3, 1, 1] * 2
    assert Counter(picked(RoundRobin(), candidates(1000, 1), 1001)) == {1: 1000, 2: 1}


def test_one_that_starts_slowly_gets_its_share_of_its_weight() -> None:
    ready = candidates(1, 1)
    ready[1].share = 10
    assert Counter(picked(RoundRobin(), ready, 110)) == {1: 100, 2: 10}


def test_the_fewest_calls_by_weight_come_first_and_equals_in_turn() -> None:
    policy, ready = LeastConnections(), candidates(1, 1, 2)
    assert sorted(picked(policy, ready[:2], 2)) == [1, 2]
    for candidate, outstanding in zip(ready, (1, 0, 2), strict=True):
        candidate.outstanding = outstanding
    assert picked(policy, ready, 3) == [2, 2, 2]
    ready[1].outstanding = 3
    assert picked(policy, ready, 3) == [3, 3, 3]


def test_of_two_the_one_that_answers_sooner_is_chosen_until_it_has_too_many() -> None:
    policy, ready = Latency(), candidates(1, 1)
    ready[0].observe(1_000, 0, 100)
    ready[1].observe(10_000, 0, 100)
    assert Counter(picked(policy, ready, 50)) == {1: 50}
    ready[0].outstanding = 20
    assert Counter(picked(policy, ready, 50)) == {2: 50}


def test_a_peak_counts_at_once_and_is_forgotten_in_time() -> None:
    [one] = candidates(1)
    for _ in range(10):
        one.observe(1_000, 0, 100)
    one.observe(50_000, 0, 100)
    assert one.latency_us(0, 100) == 50_000
    one.observe(1_000, 0, 100)
    assert 40_000 < one.latency_us(0, 100) < 50_000
    assert 15_000 < one.latency_us(100, 100) < 20_000  # ten seconds later
    assert one.latency_us(1_000, 100) < 5


def test_all_of_many_are_drawn_alike() -> None:
    drawn = Counter(picked(Latency(seed=7), candidates(*[1] * 10), 10_000))
    assert set(drawn) == set(range(1, 11))
    assert max(drawn.values()) < 2 * min(drawn.values())


def test_the_ring_is_shared_by_weight_and_the_same_for_everybody() -> None:
    ready, ring, other = candidates(1, 1, 2), Hash(), Hash()
    ring.arrange(ready)
    other.arrange(list(reversed(candidates(1, 1, 2))))
    shares = Counter(owners(ring, ready))
    assert all(abs(shares[number] - want) < want // 4 for number, want in ((1, 2_500), (2, 2_500), (3, 5_000))), shares
    assert owners(ring, ready) == owners(other, ready)


def test_only_the_share_of_one_that_is_out_moves_or_of_one_that_goes() -> None:
    ready, ring = candidates(1, 1, 1, 1), Hash()
    ring.arrange(ready)
    before = owners(ring, ready)
    ready[2].ready = False
    out = owners(ring, ready)
    assert all(now == then for now, then in zip(out, before, strict=True) if then != 3)
    assert set(out) == {1, 2, 4}
    del ready[2]
    ring.arrange(ready)
    assert owners(ring, ready) == out
    tried = ring.pick(ready, 0, [ready[0], ready[1]])
    assert tried.number == 4
    assert ring.pick(ready, 0, ready).number == 0


def test_very_different_weights_do_not_make_a_ring_that_is_too_large() -> None:
    ring = Hash()
    ring.arrange(candidates(1000, 999, 1, 0))
    assert 16_000 < len(ring.points) <= 131_072
    assert {owner.number for owner in ring.owners} == {1, 2, 3}


def test_retries_are_a_share_of_the_calls_beside_a_few_a_second() -> None:
    budget = Budget(20, 0, 0)
    assert sum(budget.spend(0, 0) for _ in range(1_000)) == BURST
    assert sum(budget.spend(100, 0) for _ in range(1_000)) == 20
    assert sum(budget.spend(100, 1_000) for _ in range(1_000)) == RATE_PER_S
    assert sum(budget.spend(10**9, 1_000) for _ in range(10_000)) == BURST
    made = sum(budget.spend(10**9 + calls, 1_000) for calls in range(10_000))
    assert 1_990 <= made <= 2_000
    assert ONE == 100

"""Limits in tokens: what is drawn and kept stays within burst + rate, whoever gives back what and when; a gate reserves
all or none, and puts right what was reserved too much or too little.
"""

import os
import random
from typing import Any

import pytest
from _kernels import Drawn, TokenBucket
from kernel_build import make_gate, money
from shop import ACME, REQUEST, Shop, body, decide

from fastgw._call import Ticket
from fastgw._core import Gate
from fastgw._segment import Segment, account_digest
from fastgw.limits import limit_units
from fastgw.model import Rate
from fastgw.refusals import Refusal
from fastgw.rows import PlanRow

SEED = int(os.environ.get("FASTGW_SEED", "0"))
HOUR_NS = 3_600 * 10**9
S = 10**9


def bucket(count: int, period_ns: int, burst: int) -> TokenBucket:
    interval, tolerance, scale, _ = limit_units(count, period_ns, burst)
    return TokenBucket(interval, tolerance, scale, burst)


def test_many_are_drawn_at_once_and_the_wait_is_exact() -> None:
    tokens = bucket(100, S, 1_000)
    call = Drawn()
    assert tokens.take(call, 5 * S, 1_000) == 0
    assert tokens.remaining(5 * S) == 0
    assert tokens.take(call, 5 * S, 300) == 3 * S
    assert tokens.take(call, 8 * S - 1, 300) == 1
    assert tokens.take(call, 8 * S, 300) == 0
    assert call.tokens == 1_300


def test_a_call_alone_leaves_behind_what_it_has_used() -> None:
    """Whenever it ends, and however often it drew, as if it had drawn just that."""
    rng = random.Random(SEED)
    for _ in range(300):
        one, other = bucket(100, S, 1_000), bucket(100, S, 1_000)
        start, drawn, call = rng.randrange(S, 5 * S), rng.randrange(1, 1_001), Drawn()
        used, later = rng.randrange(drawn + 1), rng.randrange(20 * S)
        assert one.take(call, start, drawn) == 0
        if used:
            assert other.take(Drawn(), start, used) == 0
        one.give_back(call, start + later, drawn - used)
        assert max(one.tat, start + later) == max(other.tat, start + later)


def test_what_the_bucket_has_forgotten_does_not_come_back() -> None:
    tokens = bucket(100, S, 1_000)
    idle, busy = Drawn(), Drawn()
    assert tokens.take(idle, S, 500) == 0
    assert tokens.take(busy, 10 * S, 1_000) == 0  # it was full again long since
    tokens.give_back(idle, 10 * S, 500)
    assert tokens.remaining(10 * S) == 0
    # Nor where it is another's giving back that let it be full.
    tokens = bucket(100, S, 1_000)
    large, small, third = Drawn(), Drawn(), Drawn()
    assert tokens.take(large, S, 900) == 0
    assert tokens.take(small, S, 100) == 0
    tokens.give_back(large, S, 900)
    assert tokens.take(third, 3 * S, 1_000) == 0
    tokens.give_back(small, 3 * S, 100)
    assert tokens.remaining(3 * S) == 0


def test_what_was_used_beyond_is_owed() -> None:
    tokens = bucket(100, S, 1_000)
    assert tokens.take(Drawn(), S, 1_000) == 0
    tokens.owe(S, 500)
    assert tokens.take(Drawn(), S, 100) == 6 * S
    for _ in range(100):  # within bounds
        tokens.owe(S, 1 << 40)
    assert tokens.tat < 1 << 62


@pytest.mark.parametrize("seed", range(SEED, SEED + 60))
def test_no_window_keeps_more_than_burst_and_rate(seed: int) -> None:
    """Calls draw, draw again and give back at random; in every window, what was drawn there and did not come back."""
    rng = random.Random(seed)
    count, burst = rng.choice([(1, 7), (10, 50), (33, 1_000)])
    tokens = bucket(count, S, burst)
    now = S
    kept: list[list[int]] = []  # [when, how many stay]
    open_: list[tuple[Drawn, list[list[int]]]] = []
    for _ in range(400):
        now += rng.choice([0, 0, rng.randrange(S // 10), rng.randrange(burst * S // count)])
        if open_ and rng.random() < 0.4:
            call, draws = open_.pop(rng.randrange(len(open_)))
            unused = rng.randrange(call.tokens + 1)
            tokens.give_back(call, now, unused)
            for draw in reversed(draws):  # all that is given back counts as not drawn: the strictest reading
                less = min(unused, draw[1])
                draw[1] -= less
                unused -= less
            continue
        call, draws = rng.choice(open_) if open_ and rng.random() < 0.3 else (Drawn(), [])
        wanted = rng.randrange(1, burst + 1)
        if tokens.take(call, now, wanted) == 0:
            kept.append([now, wanted])
            draws.append(kept[-1])
            if all(each is not call for each, _ in open_):
                open_.append((call, draws))
    for first in range(len(kept)):
        total = 0
        for at, amount in kept[first:]:
            total += amount
            assert total <= burst + (at - kept[first][0]) * count / S + 1e-6


# The gate


@pytest.fixture
def shop(segment: Segment) -> Shop:
    """An account on a plan of tokens: 1,000 an hour and at once, 5,000 a day, 8,000 a month."""
    shop = Shop(segment, price_nanos=0)
    for name, granted in (("acme/day_tokens", 5_000), ("acme/month_tokens", 8_000)):
        segment.add_account(account_digest(name), granted, 0)
    shop.plans = [PlanRow(shop.plan, None, 0, 0, Rate(1_000, HOUR_NS, 1_000), 5_000, 8_000)]
    shop.terms()
    segment.set_quotas(ACME, day_tokens=4, month_tokens=5)
    return shop


def admitted(gate: Gate) -> Ticket:
    assert decide(gate) is Refusal.ADMITTED
    return gate.ticket()


def ended(gate: Gate, ticket: Ticket, tokens: int) -> None:
    if tokens:
        ticket.meter(tokens - tokens // 3, tokens // 3, 0, False)
    gate.settle(ticket, 0, 200, True, 0, 0, 0, 1)


def quotas(shop: Shop) -> list[tuple[int, int]]:
    return [(money(shop.segment, meter)["captured"], money(shop.segment, meter)["held"]) for meter in (4, 5)]


def lines(gate: Gate, ticket: Ticket, verdict: int) -> dict[str, str]:
    head = gate.fail(ticket, verdict, False).partition(b"\r\n\r\n")[0].decode()
    return dict(line.split(": ", 1) for line in head.split("\r\n")[1:])


def test_what_a_call_reserves_and_does_not_use_comes_back(shop: Shop) -> None:
    gate = shop.gate()
    first, second = admitted(gate), admitted(gate)
    assert gate.reserve(first, 700) == 0
    assert gate.reserve(second, 301) == Refusal.TOKENS_LIMITED
    said = lines(gate, second, Refusal.TOKENS_LIMITED)
    assert said["RateLimit-Policy"] == '"plan-tokens";q=1000;qu="tokens";w=3600'
    assert said["RateLimit"] == '"plan-tokens";r=0;t=4' == '"plan-tokens";r=0;t=' + said["Retry-After"]
    assert gate.reserve(second, 300) == 0
    assert quotas(shop) == [(0, 1_000), (0, 1_000)]
    ended(gate, first, 100)
    assert quotas(shop) == [(100, 300), (100, 300)]
    assert gate.reserve(second, 600) == 0  # as the stream goes on
    ended(gate, second, 0)  # it failed
    assert quotas(shop) == [(100, 0), (100, 0)]
    third = admitted(gate)
    assert gate.reserve(third, 890) == 0
    with pytest.raises(ValueError, match="in flight"):
        gate.reserve(first, 1)


def test_what_is_used_beyond_is_owed_and_counted(shop: Shop) -> None:
    gate = shop.gate()
    ticket = admitted(gate)
    assert gate.reserve(ticket, 10) == 0
    ended(gate, ticket, 1_500)
    assert quotas(shop) == [(1_500, 0), (1_500, 0)]
    ticket = admitted(gate)
    assert gate.reserve(ticket, 1) == Refusal.TOKENS_LIMITED
    assert int(lines(gate, ticket, Refusal.TOKENS_LIMITED)["Retry-After"]) in range(1_790, 1_810)


def test_the_key_and_the_plan_give_all_or_none(shop: Shop) -> None:
    shop.segment.set_key_tokens(shop.key, shop.segment.limit(600, HOUR_NS, 600))
    gate = shop.gate()
    assert gate.reserve(admitted(gate), 500) == 0
    other = admitted(gate)
    assert gate.reserve(other, 101) == Refusal.TOKENS_LIMITED
    assert lines(gate, other, Refusal.TOKENS_LIMITED)["RateLimit-Policy"].startswith('"key-tokens";q=600;')
    shop.segment.set_key_tokens(shop.key, 0)
    assert gate.reserve(other, 500) == 0  # nothing was taken of the plan's


def test_more_than_is_ever_given_is_refused_for_good(shop: Shop) -> None:
    gate = shop.gate()
    ticket = admitted(gate)
    assert gate.reserve(ticket, 1_001) == Refusal.TOO_MANY_TOKENS
    assert b'"limit":1000}' in gate.fail(ticket, Refusal.TOO_MANY_TOKENS, False)
    assert quotas(shop) == [(0, 0), (0, 0)]


def test_a_quota_in_tokens_is_used_up(shop: Shop) -> None:
    shop.segment.set_granted(4, 800)
    gate = shop.gate()
    ticket = admitted(gate)
    assert gate.reserve(ticket, 801) == Refusal.TOKEN_QUOTA_EXHAUSTED
    document: Any = gate.fail(ticket, Refusal.TOKEN_QUOTA_EXHAUSTED, False)
    assert b'"limit":5000,"used":4200,"window":"day"' in document
    assert gate.reserve(ticket, 800) == 0


def test_a_killed_call_leaves_its_quotas_as_they_were(shop: Shop) -> None:
    gate = shop.gate()
    assert gate.reserve(admitted(gate), 300) == 0
    assert quotas(shop) == [(0, 300), (0, 300)]
    shop.segment.recover(0)
    assert quotas(shop) == [(0, 0), (0, 0)]


def test_a_killed_stream_is_counted_for_what_it_had_used(segment: Segment) -> None:
    shop = Shop(segment)
    segment.add_account(account_digest("acme/day_tokens"), 5_000, 0)
    segment.set_quotas(ACME, day_tokens=4)
    gate = make_gate(segment, 0, {"price_nanos": 30})
    ticket = admitted(gate)
    assert gate.reserve(ticket, 300) == 0
    ticket.meter(40, 10, segment.model_number("openai/m"), True)
    gate.earn(ticket, 200, 7, 1, 2, 1)
    segment.recover(0)
    assert money(segment, ACME)["captured"] == 7
    assert (money(segment, 4)["captured"], money(segment, 4)["held"]) == (50, 0)
    assert segment.model_counts(0) == {1: (1, 1, 40, 10, 0, 0, 0)}
    assert shop.key == 0


# Tags


def request(tag: str, *more: str) -> bytes:
    lines = "".join(f"X-Fastgw-Tag: {each}\r\n" for each in (tag, *more))
    return REQUEST.replace(b"\r\n\r\n", f"\r\n{lines}\r\n".encode())


@pytest.fixture
def tagged(segment: Segment) -> Shop:
    """A tag "run-17" with a budget of 50 nanos (meter 4), and "free" without; a call holds 30."""
    shop = Shop(segment)
    segment.add_account(account_digest("run-17/tag"), 50, 0)
    for name, budget in (("run-17", 4), ("free", -1)):
        segment.add_key(segment.tag_digest("acme", name), ACME, 0, 1, 0, budget)
    return shop


def asked(gate: Gate, data: bytes) -> Refusal:
    from shop import PEER

    assert gate.begin(data, 0, len(data)) == 0
    return Refusal(gate.decide(PEER))


def test_a_tag_has_a_budget_beside_account_and_key(tagged: Shop) -> None:
    gate = tagged.gate()
    assert asked(gate, request("run-17")) is Refusal.ADMITTED
    ticket = gate.ticket()
    assert [money(tagged.segment, index)["held"] for index in (ACME, 4)] == [30, 30]
    assert asked(gate, request("run-17")) is Refusal.BALANCE_HELD
    assert gate.extend(ticket, 21) == Refusal.TAG_BUDGET_EXHAUSTED
    assert gate.extend(ticket, 20) == 0
    gate.settle(ticket, 0, 200, True, 33, 0, 0, 1)
    assert [money(tagged.segment, index)["captured"] for index in (ACME, 4)] == [33, 33]
    assert asked(gate, request("run-17")) is Refusal.TAG_BUDGET_EXHAUSTED
    document = body(gate, Refusal.TAG_BUDGET_EXHAUSTED)
    assert (document["price"], document["available"], document["resets_at"]) == ("0.00000003", "0.000000017", None)
    assert asked(gate, request("free")) is Refusal.ADMITTED
    assert asked(gate, REQUEST) is Refusal.ADMITTED


def test_the_room_of_a_call_is_the_least_of_all_that_it_holds_from(tagged: Shop) -> None:
    gate = tagged.gate()
    assert asked(gate, request("run-17")) is Refusal.ADMITTED
    ticket = gate.ticket()
    assert gate.room(ticket) == 20
    tagged.budget(10)
    assert gate.room(ticket) == 20  # it began without a budget of the key
    tagged.segment.set_granted(4, 1_000)
    assert gate.room(ticket) == 70
    tagged.segment.revoke_key(1)
    assert gate.room(ticket) == 0
    gate.settle(ticket, 0, 200, True, -1, 0, 0, 1)
    assert gate.room(ticket) == 0


def test_a_tag_that_is_not_there_or_no_name_is_refused(tagged: Shop) -> None:
    gate = tagged.gate()
    for data in (
        request("run-18"), request(""), request("a b"), request("x" * 65), request("run-17", "free"), request("ä"),
    ):  # fmt: skip
        assert asked(gate, data) is Refusal.UNKNOWN_TAG
        assert not gate.tag_wanted
    tagged.segment.set_key(1, ACME, 0, 1, 1, 4)  # it has expired
    assert asked(gate, request("run-17")) is Refusal.UNKNOWN_TAG
    tagged.terms(tags=True)
    assert asked(gate, request("run-17")) is Refusal.UNKNOWN_TAG
    assert not gate.tag_wanted
    assert asked(gate, request("run-18")) is Refusal.UNKNOWN_TAG
    assert gate.tag_wanted
    assert gate.wanted_tag() == (ACME, "run-18")
    tagged.segment.set_key(1, ACME, 0, 2, 0, 4)  # it is being made, or was removed: the keeper knows
    assert asked(gate, request("run-17")) is Refusal.UNKNOWN_TAG
    assert gate.tag_wanted
    assert tagged.segment.account(ACME)["status"] == 1
    assert decide(gate) is Refusal.ADMITTED


def test_a_tag_is_no_key_and_stays_here(tagged: Shop) -> None:
    from shop import PEER

    gate = tagged.gate()
    assert asked(gate, request("free")) is Refusal.ADMITTED
    data = request("free")
    sent = gate.request(gate.ticket(), PEER, b"Host: up\r\n", len(data), len(data))
    assert b"fastgw-tag" not in sent.lower()
    for name in (b"run-17", b"\x02run-17"):
        assert tagged.segment.find_key(tagged.segment.digest(name)) == -1


def test_a_call_whose_tag_was_removed_holds_no_more(tagged: Shop) -> None:
    gate = tagged.gate()
    assert asked(gate, request("run-17")) is Refusal.ADMITTED
    ticket = gate.ticket()
    tagged.segment.revoke_key(1)
    assert gate.extend(ticket, 1) == Refusal.UNKNOWN_TAG
    gate.settle(ticket, 0, 200, True, -1, 0, 0, 1)
    assert money(tagged.segment, 4)["captured"] == 30


def test_a_killed_call_gives_back_what_it_held_of_its_tag(tagged: Shop) -> None:
    gate = tagged.gate()
    for cost in (0, 5):
        assert asked(gate, request("run-17")) is Refusal.ADMITTED
        ticket = gate.ticket()
        gate.earn(ticket, 200, cost, 0, 0, 1)
        tagged.segment.recover(0)
        assert (money(tagged.segment, 4)["captured"], money(tagged.segment, 4)["held"]) == (cost, 0)
        gate = tagged.gate()

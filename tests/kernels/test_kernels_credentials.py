"""The keys of providers by themselves: one cell for each, pauses that all workers heed, limits that none exceeds."""

import mmap
import os
import random
import struct
import time
from pathlib import Path

import pytest
from conftest import NewSegment
from forking import forked

from fastgw import _credentials
from fastgw._credentials import Credentials, Standing, table_path
from fastgw._segment import Segment, SegmentError
from fastgw.model import Rate
from fastgw.states import CredentialState

EPOCH = 64  # of the segment's clock, in its header
SECOND = 10**9
OK, RESTING, REFUSED, UNPAID = CredentialState


@pytest.fixture
def segment(new_segment: NewSegment) -> Segment:
    return new_segment()


def pass_ms(segment: Segment, ms: int) -> None:
    """So much time goes by for all that map it."""
    with Path(segment.path).open("r+b") as file:
        file.seek(EPOCH)
        [epoch_ns] = struct.unpack("<Q", file.read(8))
        file.seek(EPOCH)
        file.write(struct.pack("<Q", (epoch_ns - ms * 1_000_000) % 2**64))


def key(
    segment: Segment, secret: str = "sk-1", rate: Rate | None = None, token_rate: Rate | None = None
) -> tuple[Standing, Standing]:
    """A key as two workers see it."""
    first, second = (Credentials(segment).standing("own", secret, rate, token_rate) for _ in range(2))
    assert first.name == second.name
    return first, second


def look(segment: Segment, secret: str = "sk-1") -> tuple[int, ...]:
    return Credentials(segment).look("own", secret)


def test_a_key_rests_for_all_workers_as_long_as_it_is_asked_to(segment: Segment) -> None:
    first, second = key(segment)
    assert look(segment) == (OK, 0, 0, 0, 0, 0)
    assert first.take(0) is not None
    first.rest(5_000)
    assert second.take(0) is None
    assert 4_900 < second.wait_ms(0) <= 5_000
    first.worked()  # of a call that was sent before
    second.rest(2_000)  # likewise, and told less
    assert second.take(0) is None
    pass_ms(segment, 4_000)
    assert look(segment)[0] == RESTING
    _, left_ms, since_s, *counts = look(segment)
    assert 0 < left_ms <= 1_000
    assert since_s in (4, 5)
    assert counts == [1, 2, 0]
    assert Credentials(segment).standing("own", "sk-2", None, None).take(0) is not None
    assert Credentials(segment).standing("other", "sk-1", None, None).take(0) is not None
    pass_ms(segment, 1_000)
    assert second.take(0) is not None
    assert look(segment) == (OK, 0, 0, 2, 2, 0)


def test_a_pause_without_a_time_is_twice_as_long_each_time_until_it_has_served(segment: Segment) -> None:
    first, second = key(segment)
    for seconds in (1, 2, 4, 8):
        for standing in (first, second, first):  # calls in flight at once are told so once
            standing.rest(0)
        assert seconds * 1_000 - 100 < second.wait_ms(0) <= seconds * 1_000
        pass_ms(segment, seconds * 1_000)
    first.worked()
    first.rest(0)
    assert second.wait_ms(0) <= 1_000
    pass_ms(segment, 1_000)
    first.rest(10**9)
    assert 599_900 < second.wait_ms(0) <= 600_000
    pass_ms(segment, 600_000)
    for _ in range(30):
        first.rest(0)
        pass_ms(segment, first.wait_ms(0))
    first.rest(0)
    assert 599_900 < first.wait_ms(0) <= 600_000


@pytest.mark.parametrize("why", [REFUSED, UNPAID])
def test_a_key_that_was_refused_is_tried_again_by_one_call(segment: Segment, why: CredentialState) -> None:
    first, second = key(segment)
    first.refuse(why is UNPAID)
    first.worked()
    second.rest(0)
    second.exhaust(10_000_000)
    assert look(segment)[0] == why
    assert 599_900 < look(segment)[1] <= 600_000
    assert (second.take(0), second.wait_ms(0)) == (None, -1)
    pass_ms(segment, 600_000)
    assert second.take(0) is not None
    assert (first.take(0), second.take(0), first.wait_ms(0)) == (None, None, -1)
    pass_ms(segment, 30_000)  # nothing came of it
    assert first.take(0) is not None
    assert second.take(0) is None
    first.refuse(why is UNPAID)
    assert look(segment)[2] in (630, 631)
    pass_ms(segment, 600_000)
    assert second.take(0) is not None
    second.worked()
    assert first.take(0) is not None
    assert look(segment)[0] == OK


def test_a_key_that_has_no_more_to_give_rests_until_it_has(segment: Segment) -> None:
    first, second = key(segment)
    first.exhaust(700)
    first.worked()
    assert second.take(0) is None
    pass_ms(segment, 700)
    second.rest(0)  # the first in a row
    assert second.wait_ms(0) <= 1_000


def test_limits_are_of_all_workers_and_what_was_not_used_comes_back(segment: Segment) -> None:
    first, second = key(segment, rate=Rate(2, 60 * SECOND, 2), token_rate=Rate(600, 60 * SECOND, 1_000))
    call = first.take(900)
    assert call is not None
    assert second.take(200) is None
    assert 9_900 < second.wait_ms(200) <= 10_000
    call.used(100)
    call.used(900)
    late = second.take(900)
    assert late is not None
    assert first.take(0) is None  # the third call
    assert 29_000 < first.wait_ms(0) <= 30_000
    late.free()
    late.used(900)
    again = second.take(900)
    assert again is not None
    again.used(1_900)  # more than was thought: owed
    pass_ms(segment, 60_000)
    assert 39_000 < first.wait_ms(1) <= 40_200
    assert first.take(10**9) is None
    pass_ms(segment, 200_000)
    whole = first.take(10**9)  # never granted all that it asks for: it has waited for as much as there is
    assert whole is not None
    assert second.take(1) is None


def test_a_rate_that_is_changed_leaves_what_is_known(segment: Segment) -> None:
    first, _ = key(segment, rate=Rate(1, 60 * SECOND, 1))
    assert first.take(0) is not None
    other, _ = key(segment, rate=Rate(7, SECOND, 7))
    assert 59_000 < other.wait_ms(0) <= 60_000
    pass_ms(segment, 60_000)
    assert [other.take(0) is not None for _ in range(8)] == [True] * 7 + [False]
    unlimited, _ = key(segment)
    assert unlimited.take(10**12) is not None


def test_no_window_admits_more_than_the_provider_does(segment: Segment) -> None:
    """Four processes, 2,000 calls and 20,000 tokens a second."""
    count, burst, tokens, deep = 2_000, 40, 20_000, 400
    log = mmap.mmap(-1, 1 << 20)
    until = time.monotonic_ns() + 250_000_000

    def work(worker: int) -> None:
        me = Credentials(segment).standing("own", "sk-1", Rate(count, SECOND, burst), Rate(tokens, SECOND, deep))
        rng, at = random.Random(worker), worker << 18
        while (before := time.monotonic_ns()) < until:
            asked = rng.randint(1, 16)
            call = me.take(asked)
            if call is not None:
                after = time.monotonic_ns()
                used = rng.randint(0, asked)
                call.used(used)
                struct.pack_into("<QQQ", log, at, before, after, used)
                at += 24

    for pid in [forked(lambda worker=worker: work(worker)) for worker in range(4)]:  # type: ignore[misc]
        os.waitpid(pid, 0)
    slots = (
        struct.unpack_from("<QQQ", log, (worker << 18) + at) for worker in range(4) for at in range(0, 1 << 17, 24)
    )
    calls = sorted(call for call in slots if call[0])
    assert len(calls) > 300, len(calls)
    for first in range(0, len(calls), 5):
        begin, spent = calls[first][0], 0
        inside = sorted((after, used) for before, after, used in calls[first:])
        for number, (after, used) in enumerate(inside, 1):  # all that lie in this window for sure
            spent += used
            assert number <= burst + count * (after - begin) / SECOND
            assert spent <= deep + tokens * (after - begin) / SECOND


def test_workers_that_come_to_a_key_at_once_have_the_same_cell(segment: Segment) -> None:
    names = [f"sk-{number}" for number in range(32)]
    Credentials(segment)
    start = time.monotonic() + 0.05

    def work(worker: int) -> None:
        table = Credentials(segment)
        order = random.Random(worker).sample(names, len(names))
        while time.monotonic() < start:
            pass
        for name in order:
            table.standing("own", name, None, None).take(0)

    for pid in [forked(lambda worker=worker: work(worker)) for worker in range(4)]:  # type: ignore[misc]
        os.waitpid(pid, 0)
    assert {look(segment, name)[3] for name in names} == {4}


def test_where_the_table_is_full_the_key_that_was_used_least_recently_is_forgotten(segment: Segment) -> None:
    table = Credentials(segment)
    old = table.standing("own", "old", None, None)
    old.refuse(False)
    pass_ms(segment, 5_000)
    kept = [table.standing("own", str(number), None, None) for number in range(_credentials.MOST - 1)]
    for standing in kept:
        assert standing.take(0) is not None
    new = table.standing("own", "new", None, None)
    assert new.take(0) is not None
    assert look(segment, "old") == (OK, 0, 0, 0, 0, 0)
    assert look(segment, "new")[3] == 1
    pass_ms(segment, 5_000)
    for standing in kept[1:]:
        assert standing.take(0) is not None
    assert old.take(0) is not None  # begins anew, in place of another
    assert look(segment, "old")[3] == 1


def test_a_table_is_the_segments_and_its_owners(segment: Segment, new_segment: NewSegment) -> None:
    table = Credentials(segment)
    path = table_path(segment)
    assert table.path == path != table_path(new_segment())
    assert os.stat(path).st_mode & 0o777 == 0o600
    table.standing("own", "sk-secret", None, None)
    assert b"sk-secret" not in Path(path).read_bytes()
    os.chmod(path, 0o640)
    with pytest.raises(SegmentError, match="open to other users"):
        Credentials(segment)
    os.chmod(path, 0o600)
    os.truncate(path, 4096)
    with pytest.raises(SegmentError, match="damaged"):
        Credentials(segment)
    os.unlink(path)
    assert look(segment) == (OK, 0, 0, 0, 0, 0)

"""The key table answers as a dict does, whatever the digests are, and loses no room when its writer is killed."""

import _kernels
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_build import scratch_segment

from fastgw._segment import Segment, SegmentError, account_digest

ACTIVE, REVOKED = 1, 2


def digest(first: int, tag: int, rest: int = 0) -> bytes:
    """Crafted: the table starts at the low bits of `first`, and compares the high half of the second word first."""
    return b"".join(word.to_bytes(8, "little") for word in (first, tag << 32, rest, 0))


# Few starts, few tags: nearly every digest collides with others in one or both, and some differ in the last word only.
CRAFTED = st.builds(digest, st.sampled_from([0, 1, 126, 127, 128, 2**64 - 1]), st.integers(0, 1), st.integers(0, 3))


@pytest.fixture
def filled(segment: Segment) -> Segment:
    segment.add_account(account_digest("acme"), 0, 0)
    return segment


@given(st.lists(CRAFTED | st.binary(min_size=32, max_size=32), max_size=70), st.lists(CRAFTED, max_size=20))
def test_the_table_is_a_dict_even_when_digests_collide(wanted: list[bytes], others: list[bytes]) -> None:
    segment = scratch_segment()
    segment.add_account(account_digest("acme"), 0, 0)
    model: dict[bytes, int] = {}
    for key in wanted:
        assert segment.find_key(key) == model.get(key, -1)
        if key not in model:
            if len(model) == 64:
                with pytest.raises(SegmentError, match="raise keys_max"):
                    segment.add_key(key, 0, 0, ACTIVE, 0)
                continue
            model[key] = segment.add_key(key, 0, 0, ACTIVE, 0)
    assert list(model.values()) == list(range(len(model)))
    for key in (*wanted, *others):
        assert segment.find_key(key) == model.get(key, -1)
    assert segment.key_count == len(model)


def test_half_of_the_index_stays_free_so_that_every_search_ends(filled: Segment) -> None:
    for number in range(64):
        filled.add_key(digest(5, 1, number), 0, 0, ACTIVE, 0)
    assert _kernels.index_slots(filled) >= 2 * filled.key_count
    assert filled.find_key(digest(5, 1, 64)) == -1


def test_a_key_is_changed_in_place(filled: Segment) -> None:
    filled.add_account(account_digest("other"), 0, 0)
    limit = filled.limit(5, 10**9, 5)
    index = filled.add_key(digest(1, 1), 0, 0, ACTIVE, 0)
    assert _kernels.key_words(filled, index) == (0, 0, ACTIVE, 0)
    filled.set_key(index, 1, limit, ACTIVE, 77)
    assert _kernels.key_words(filled, index) == (1, limit, ACTIVE, 77)
    filled.revoke_key(index)
    assert _kernels.key_words(filled, index) == (1, limit, REVOKED, 77)
    assert filled.find_key(digest(1, 1)) == index


@pytest.mark.parametrize("again", [True, False], ids=["same key next", "other key next"])
def test_a_writer_killed_before_the_index_names_a_key_costs_no_room(filled: Segment, again: bool) -> None:
    last, other = digest(3, 1), digest(3, 1, 1)
    filled.add_key(digest(3, 0), 0, 0, ACTIVE, 0)
    filled.add_key(last, 0, 0, ACTIVE, 0)
    _kernels.unindex_last_key(filled)
    assert filled.find_key(last) == -1
    if again:
        assert filled.add_key(last, 0, 0, REVOKED, 9) == 1
        assert _kernels.key_words(filled, 1) == (0, 0, REVOKED, 9)
        assert filled.add_key(other, 0, 0, ACTIVE, 0) == 2
    else:
        assert filled.add_key(other, 0, 0, ACTIVE, 0) == 2
        assert _kernels.key_words(filled, 1) == (0, 0, ACTIVE, 0)
    assert [filled.find_key(key) for key in (digest(3, 0), last, other)] == [0, 1, 2]
    assert filled.key_count == 3


def test_a_full_table_takes_the_key_that_a_killed_writer_left_behind(filled: Segment) -> None:
    for number in range(64):
        filled.add_key(digest(number, 1), 0, 0, ACTIVE, 0)
    _kernels.unindex_last_key(filled)
    assert filled.add_key(digest(63, 1), 0, 0, ACTIVE, 0) == 63
    with pytest.raises(SegmentError, match="more than 64 keys: raise keys_max"):
        filled.add_key(digest(64, 1), 0, 0, ACTIVE, 0)


def test_wrong_numbers_are_refused_before_anything_is_written(filled: Segment) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        filled.find_key(b"short")
    with pytest.raises(ValueError, match="32 bytes"):
        filled.add_key(b"short", 0, 0, ACTIVE, 0)
    with pytest.raises(IndexError, match="no account 1"):
        filled.add_key(digest(1, 1), 1, 0, ACTIVE, 0)
    with pytest.raises(IndexError, match="no limit 1"):
        filled.add_key(digest(1, 1), 0, 1, ACTIVE, 0)
    with pytest.raises(IndexError, match="no key 0"):
        filled.set_key(0, 0, 0, ACTIVE, 0)
    with pytest.raises(IndexError, match="no key 0"):
        filled.revoke_key(0)
    with pytest.raises(ValueError, match="at least one byte"):
        filled.digest(b"")
    assert filled.key_count == 0

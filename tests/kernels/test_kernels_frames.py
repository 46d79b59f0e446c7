"""The frames of a WebSocket are followed however they come: between two of them is where the gateway may speak."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from fastgw._frames import Frames

CLOSE, BINARY, CONTINUED = 0x88, 0x82, 0x00


def frame(first: int, payload: bytes, masked: bool) -> bytes:
    bit = 0x80 if masked else 0
    if len(payload) < 126:
        length = bytes((bit | len(payload),))
    elif len(payload) < 1 << 16:
        length = bytes((bit | 126,)) + len(payload).to_bytes(2, "big")
    else:
        length = bytes((bit | 127,)) + len(payload).to_bytes(8, "big")
    return bytes((first,)) + length + (b"mask" if masked else b"") + payload


SIZES = st.sampled_from([0, 1, 2, 125, 126, 127, 65_535, 65_536, 70_000])
FRAMES = st.lists(st.tuples(st.sampled_from([BINARY, CONTINUED, 0x89, 0x8A]), SIZES, st.booleans()), max_size=8)


@given(FRAMES, st.randoms(use_true_random=False))
def test_between_two_frames_is_where_one_ends(frames: list[tuple[int, int, bool]], random: Random) -> None:
    stream, ends = b"", {0}
    for first, size, masked in frames:
        stream += frame(first, bytes(size), masked)
        ends.add(len(stream))
    seen = Frames()
    at = 0
    assert seen.between()
    while at < len(stream):
        size = random.choice((1, 2, 3, 7, 1000, 100_000))
        seen.feed(stream[at : at + size])
        at = min(at + size, len(stream))
        assert seen.between() == (at in ends)


def test_behind_a_close_nothing_may_follow() -> None:
    for head in (bytes((CLOSE,)), frame(CLOSE, b"\x03\xe8", True), frame(CLOSE, b"", False)):
        seen = Frames()
        seen.feed(frame(BINARY, b"x", True))
        assert seen.between()
        seen.feed(head)
        assert not seen.between()


@given(st.lists(st.binary(max_size=40)))
def test_what_is_no_websocket_does_no_harm(parts: list[bytes]) -> None:
    seen = Frames()
    for part in parts:
        seen.feed(part)
    assert seen.between() in (True, False)

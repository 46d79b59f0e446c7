"""Server-sent events are the same wherever a connection cuts them."""

from itertools import pairwise

import pytest

from fastgw.ai import sse

STREAM = (
    b'event: a\ndata: {"a":1}\n\n: ping\n\ndata: one\r\ndata:two\r\nid: 7\r\n\r\n\n\ndata: [DONE]\n\ndata:\n\ndata: x'
)
WHOLE = [b'{"a":1}', b"one\ntwo", b"[DONE]", b"x"]


def cut(stream: bytes, *at: int) -> list[bytes]:
    events = sse.Events()
    edges = [0, *at, len(stream)]
    found = [event for start, end in pairwise(edges) for event in events.feed(stream[start:end])]
    return found + events.finish()


def test_events_are_the_same_wherever_they_are_cut() -> None:
    assert all(cut(STREAM, at) == WHOLE for at in range(len(STREAM)))
    assert cut(STREAM, *range(1, len(STREAM))) == WHOLE
    assert cut(b"") == cut(b": only a comment\n\n") == []


def blocks(stream: bytes, *at: int) -> tuple[list[bytes], bytes]:
    cutter = sse.Blocks()
    edges = [0, *at, len(stream)]
    found = [block for start, end in pairwise(edges) for block in cutter.feed(stream[start:end])]
    return found, cutter.finish()


@pytest.mark.parametrize(
    "stream", [STREAM, STREAM.replace(b"\r", b""), STREAM.replace(b"\r", b"").replace(b"\n", b"\r")], ids=range(3)
)
def test_blocks_are_the_whole_stream(stream: bytes) -> None:
    for at in range(len(stream)):
        found, rest = blocks(stream, at)
        assert b"".join(found) + rest == stream
        assert [data for block in (*found, rest) if (data := sse.data_of(block))] == WHOLE
    assert blocks(STREAM.replace(b"\r", b""), *range(1, len(STREAM))) == blocks(STREAM.replace(b"\r", b""))


def test_a_comment_or_a_name_carries_nothing() -> None:
    assert [sse.data_of(block) for block in (b": OPENROUTER PROCESSING\n\n", b"event: ping\n\n", b"\n", b"")] == [
        b""
    ] * 4


def test_what_is_written_is_read() -> None:
    assert cut(sse.event(b"{}", b"ping") + sse.event(b"[]")) == [b"{}", b"[]"]


def test_an_event_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "EVENT_BYTES_MAX", 10)
    events = sse.Events()
    events.feed(b"data: 1234")
    with pytest.raises(ValueError, match="too long"):
        events.feed(b"5")

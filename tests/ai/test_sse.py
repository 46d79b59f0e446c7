"""Server-sent events are the same wherever a connection cuts them."""

from itertools import pairwise

import pytest

from fastgw.ai import sse

STREAM = (
    b'event: a\ndata: {"a":1}\n\n: ping\n\ndata: one\r\ndata:two\r\nid: 7\r\n\r\n\n\ndata: [DONE]\n\ndata:\n\ndata: x'
)
WHOLE = [b'{"a":1}', b"one\ntwo", b"[DONE]", b"", b"x"]


def cut(stream: bytes, *at: int) -> list[bytes]:
    events = sse.Events()
    edges = [0, *at, len(stream)]
    found = [event for start, end in pairwise(edges) for event in events.feed(stream[start:end])]
    return found + events.finish()


def test_events_are_the_same_wherever_they_are_cut() -> None:
    assert all(cut(STREAM, at) == WHOLE for at in range(len(STREAM)))
    assert cut(STREAM, *range(1, len(STREAM))) == WHOLE
    assert cut(b"") == cut(b": only a comment\n\n") == []


def test_what_is_written_is_read() -> None:
    assert cut(sse.event(b"{}", b"ping") + sse.event(b"[]")) == [b"{}", b"[]"]


def test_an_event_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "EVENT_BYTES_MAX", 10)
    events = sse.Events()
    events.feed(b"data: 1234")
    with pytest.raises(ValueError, match="too long"):
        events.feed(b"5")

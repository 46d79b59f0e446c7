"""What a provider is asked and a caller told is written as it would be by hand, whatever its parts are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw import _lines
from fastgw._http import ResponseHead, money

MOST = (1 << 63) - 1
names = st.binary(max_size=300)
tokens = st.integers(0, MOST)
nanos = st.integers(-MOST, MOST)


@given(names, names, st.text(max_size=300).filter(str.isprintable), names, names, names, names, st.binary())
def test_a_request(
    method: bytes, base: bytes, path: str, host: bytes, lines: bytes, more: bytes, kind: bytes, body: bytes
) -> None:
    for streams in (False, True):
        for posts in (False, True):
            head = b"%b %b%b HTTP/1.1\r\n%b%b%b" % (method, base, path.encode(), host, lines, more)
            head += b"Accept: text/event-stream\r\n" if streams else b"Accept: */*\r\n"
            head += b"Accept-Encoding: identity\r\nUser-Agent: fastgw\r\n"
            head += b"Content-Type: %b\r\n" % kind if kind else b""
            head += b"Content-Length: %d\r\n" % len(body) if body or posts else b""
            out = _lines.request(method, base, path, host, lines, more, streams, kind, posts, body)
            assert out == head + b"\r\n" + body


@given(names, names, names, names, st.binary(max_size=2000))
def test_an_answer(line: bytes, kind: bytes, lines: bytes, gate_lines: bytes, body: bytes) -> None:
    head = b"%bContent-Type: %b\r\n%bContent-Length: %d\r\n%b\r\n" % (line, kind, lines, len(body), gate_lines)
    assert _lines.answer(line, kind, lines, gate_lines, body, False) == head + body
    assert _lines.answer(line, kind, lines, gate_lines, body, True) == head
    assert head.startswith(_lines.opening(line, kind))


@given(nanos, nanos, tokens, tokens, names)
def test_what_a_call_has_cost(cost: int, balance: int, taken: int, made: int, more: bytes) -> None:
    assert _lines.cost_lines(cost, balance, taken, made, more) == (
        b"X-Fastgw-Cost: %b\r\nX-Fastgw-Balance: %b\r\nX-Fastgw-Tokens: in=%d, out=%d\r\n%b"
        % (money(cost), money(balance), taken, made, more)
    )


@pytest.mark.parametrize(
    ("field", "spent"),
    [
        (b"X-RateLimit-Remaining-Requests: 0", True),
        (b"anthropic-ratelimit-input-tokens-remaining: 0", True),
        (b"x-ratelimit-remaining-tokens: 10", False),
        (b"x-ratelimit-remaining-tokens: ", False),
        (b"x-request-id: 0", False),
        (b"ratelimit: 0", False),
    ],
)
def test_a_provider_that_has_nothing_left(field: bytes, spent: bool) -> None:
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n%b\r\nx-other: 1\r\n\r\n" % field
    head = ResponseHead()
    head.scan(raw, 0, len(raw))
    assert _lines.is_spent(head) is spent

"""Heads and chunked bodies by themselves: what a scan finds, what is written anew, whatever the bytes are cut into."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw._http import FIELDS, ODD, PLAIN, ChunkedBody, RequestHead, ResponseHead, chunk, find_head_end

LENGTH, CHUNKED = 1, 2
TOKEN = st.text(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~", min_size=1, max_size=20
)
TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)
HOP_BY_HOP = {
    b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade",
    b"proxy-authenticate", b"proxy-authorization",
}  # fmt: skip


def scan(data: bytes, fields_max: int = 100, key_header: bytes = b"") -> tuple[int, RequestHead]:
    head = RequestHead(fields_max, key_header)
    return head.scan(data, 0, len(data)), head


def test_a_plain_head_is_taken_apart_where_it_lies() -> None:
    data = b"....POST /v1/x?y=1 HTTP/1.1\r\nHost: API.example.com:8080\r\nContent-Length: 12\r\nX: \t a b \r\n\r\nbody"
    head = RequestHead()
    assert head.scan(data, 4, len(data) - 4) == PLAIN
    assert (head.method, head.target, head.minor, head.content_length) == (b"POST", b"/v1/x?y=1", 1, 12)
    assert head.fields == [(b"Host", b"API.example.com:8080"), (b"Content-Length", b"12"), (b"X", b"a b")]
    assert head.host() == b"api.example.com"
    assert (head.keep_alive, head.chunked, head.expects_continue, head.idempotent) == (True, False, False, False)
    assert head.length == len(data) - 8


@given(st.lists(st.tuples(TOKEN, TEXT), max_size=12))
def test_the_fields_of_a_plain_head_are_those_that_were_written(fields: list[tuple[str, str]]) -> None:
    lines = [(f"X-{name}", value) for name, value in fields]
    data = b"GET / HTTP/1.1\r\nHost: h\r\n" + "".join(f"{n}: {v}\r\n" for n, v in lines).encode() + b"\r\n"
    result, head = scan(data)
    assert result == PLAIN
    assert head.fields == [(b"Host", b"h"), *((name.encode(), value.encode()) for name, value in lines)]
    assert find_head_end(data, 0) == len(data)
    assert all(find_head_end(data[:cut], 0) == -1 for cut in range(len(data)))


@given(st.binary(max_size=80))
def test_no_bytes_make_a_scan_fail_or_read_beyond_them(data: bytes) -> None:
    for text in (data, b"GET / HTTP/1.1\r\nHost: h\r\n" + data + b"\r\n\r\n"):
        end = find_head_end(text, 0)
        if end > 0:
            result, head = scan(text[:end])
            assert result in (PLAIN, ODD, FIELDS)
            if result == PLAIN:
                assert head.length == end


@pytest.mark.parametrize(
    ("line", "flags"),
    [
        (b"Connection: close", (False, False, False)),
        (b"Connection: x, CLOSE", (False, False, False)),
        (b"Connection: keep-alive", (True, False, False)),
        (b"Transfer-Encoding: chunked", (True, True, False)),
        (b"Expect: 100-continue", (True, False, True)),
    ],
)
def test_a_head_says_how_the_connection_and_the_body_go_on(line: bytes, flags: tuple[bool, bool, bool]) -> None:
    result, head = scan(b"POST / HTTP/1.1\r\nHost: h\r\n" + line + b"\r\n\r\n")
    assert result == PLAIN
    assert (head.keep_alive, head.chunked, head.expects_continue) == flags


def test_an_old_client_keeps_its_connection_only_if_it_says_so() -> None:
    assert not scan(b"GET / HTTP/1.0\r\n\r\n")[1].keep_alive
    assert scan(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")[1].keep_alive


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n\r\n", b"get / HTTP/1.1\r\nHost: h\r\n\r\n", b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\nHost: h\n\n", b"GET / HTTP/1.1\r\nHost: h\r\nA : b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n", b"GET / HTTP/1.1\r\nHost: h\r\nA: \0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", b"GET /# HTTP/1.1\r\nHost: h\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", b"GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_not_plain_is_left_to_the_referee(head: bytes) -> None:
    assert scan(head)[0] == ODD


def test_more_fields_than_allowed_are_said_to_be_that() -> None:
    data = b"GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\nB: 2\r\n\r\n"
    assert scan(data, 3)[0] == PLAIN
    assert scan(data, 2)[0] == FIELDS
    for wrong in (0, 257):
        with pytest.raises(ValueError, match="from 1 to 256"):
            RequestHead(wrong)


def test_an_answer_is_written_anew_without_what_concerns_one_connection() -> None:
    data = (
        b"HTTP/1.1 200 Fine\r\nServer: s\r\nConnection: close, X-Once\r\nKeep-Alive: 1\r\nX-Once: 1\r\n"
        b"Content-Length: 4\r\nX: 1\r\n\r\nbody"
    )
    head = ResponseHead()
    end = find_head_end(data, 0)
    assert head.scan(data, 0, end) == PLAIN
    assert (head.status, head.content_length, head.keep_alive) == (200, 4, False)
    kept = b"HTTP/1.1 200 Fine\r\nServer: s\r\nContent-Length: 4\r\nX: 1\r\nVia: v\r\n\r\nbody"
    assert head.render(b"Via: v\r\n", LENGTH, end, end + 4) == kept
    anew = b"HTTP/1.1 200 Fine\r\nServer: s\r\nX: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert head.render(b"", CHUNKED, 0, 0) == anew


@given(st.lists(st.tuples(TOKEN | st.sampled_from(sorted(name.decode() for name in HOP_BY_HOP)), TEXT), max_size=8))
def test_no_field_of_one_connection_survives_an_answer(fields: list[tuple[str, str]]) -> None:
    data = b"HTTP/1.1 200 OK\r\n" + "".join(f"{n}: {v}\r\n" for n, v in fields).encode() + b"\r\n"
    head = ResponseHead()
    if head.scan(data, 0, len(data)) == PLAIN:
        again = ResponseHead()
        text = head.render(b"", 0, 0, 0)
        assert again.scan(text, 0, len(text)) == PLAIN
        names = {name.lower() for name, _ in again.fields}
        assert not names & HOP_BY_HOP
        assert [f for f in again.fields if f in head.fields] == again.fields


PARTS = st.lists(st.binary(min_size=1, max_size=40), max_size=6)


def chunked(parts: list[bytes], extension: bytes, trailer: bytes) -> bytes:
    data = b"".join(b"%X%b\r\n%b\r\n" % (len(part), extension, part) for part in parts)
    return data + b"0" + extension + b"\r\n" + trailer + b"\r\n"


@given(
    PARTS, st.sampled_from([b"", b";a", b";a=b", b';a="b c";d']),
    st.sampled_from([b"", b"T: 1\r\n", b"T:\r\nU: x\r\n"]), st.lists(st.integers(1, 30), max_size=30), st.booleans(),
)  # fmt: skip
def test_a_chunked_body_is_the_same_however_it_is_cut(
    parts: list[bytes], extension: bytes, trailer: bytes, cuts: list[int], reframe: bool
) -> None:
    text = chunked(parts, extension, trailer)
    body, out, rest = ChunkedBody(), b"", text + b"NEXT"
    while not body.done and rest:
        size = cuts.pop() if cuts else len(rest)
        out += body.feed(rest[:size], 0, reframe)
        assert not body.broken
        rest = rest[body.taken :]
    assert body.done
    assert rest.startswith(b"NEXT"[-4:])
    assert body.payload == sum(map(len, parts))
    if reframe:
        inner = ChunkedBody()
        out = inner.feed(out, 0, False)
        assert inner.done
    assert out == b"".join(parts)


@pytest.mark.parametrize(
    "text",
    [
        b"\r\n", b"g\r\n", b"-1\r\n", b"0x1\r\n", b"1\n", b" 1\r\n", b"1 \r\n", b"11111111111111111\r\n", b"1\r\nab",
        b"1\r\na\n", b"1;\r\n", b'1;a="\\"\r\n', b"1;a=\x01\r\n", b"0\r\nbad name: 1\r\n", b"0\r\nT: \0\r\n",
        b"0\r\n\rx", b"1;" + b"a" * 5000, b"0\r\nT: " + b"a" * 9000,
    ],
)  # fmt: skip
def test_a_chunked_body_that_is_not_strict_is_broken(text: bytes) -> None:
    whole = ChunkedBody()
    whole.feed(text, 0, False)
    assert (whole.broken, whole.done) == (True, False)
    by_byte = ChunkedBody()
    for at in range(len(text)):
        by_byte.feed(text[at : at + 1], 0, False)
        if by_byte.broken:
            break
    assert by_byte.broken


@given(st.binary(max_size=300), st.booleans())
def test_a_chunk_is_read_back_as_it_was(data: bytes, last: bool) -> None:
    body = ChunkedBody()
    text = chunk(b"__" + data + b"__", 2, 2 + len(data), last)
    assert body.feed(text, 0, False) == data
    assert (body.done, body.broken, body.taken) == (last, False, len(text))


@pytest.mark.parametrize(
    ("lines", "idle_s"),
    [
        (b"", -1),
        (b"Keep-Alive: timeout=5\r\n", 5),
        (b"keep-alive: max=100 , Timeout=7\r\n", 7),
        (b"Keep-Alive: timeout=0\r\n", 0),
        (b"Keep-Alive: timeout=999999999999\r\n", 86_400),
        (b"Keep-Alive: max=100\r\nKeep-Alive: timeout=3\r\n", 3),
        (b"Keep-Alive: timeout=\r\n", -1),
        (b"Keep-Alive: timeout=5s\r\n", -1),
        (b"Keep-Alive: timeout=-5\r\n", -1),
        (b"Keep-Alive: xtimeout=5\r\n", -1),
        (b"Keep-Alive:\r\n", -1),
    ],
)
def test_how_long_a_target_keeps_a_connection_is_read_where_it_is_well_said(lines: bytes, idle_s: int) -> None:
    data = b"HTTP/1.1 200 OK\r\n" + lines + b"Content-Length: 0\r\n\r\n"
    head = ResponseHead()
    assert head.scan(data, 0, len(data)) == PLAIN
    assert head.idle_s == idle_s
    assert b"eep-" not in head.render(b"", LENGTH, 0, 0)

"""The gateway's own readers beside httptools: what they call plain, it takes, with the same meaning."""

from __future__ import annotations

import os
from contextlib import suppress

import httptools
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from fastgw._http import PLAIN, ChunkedBody, RequestHead, ResponseHead

MANY = 200 * int(os.environ.get("FASTGW_LONG", "1"))
BOUNDED = settings(max_examples=MANY, suppress_health_check=[HealthCheck.filter_too_much], database=None)
FEW = settings(max_examples=150, database=None)

TOKEN_BYTES = b"!#$%&'*+-.^_`|~09azAZ"
# What breaks grammars, put in the place of a few bytes of what was right
BREAKS = (
    b"", b" ", b"\t", b"\r", b"\n", b"\r\n", b"\r\n ", b"\0", b"\x0b", b"\x7f", b"\x80", b"\xff", b":", b",", b";",
    b"=", b'"', b"#", b"?", b"/", b"@", b"+", b"-", b"0", b"1", b"9", b"x", b"chunked",
    b"Host: b\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n",
)  # fmt: skip


def text(alphabet: bytes, least: int = 0, most: int = 12) -> st.SearchStrategy[bytes]:
    return st.lists(st.sampled_from(alphabet), min_size=least, max_size=most).map(bytes)


@st.composite
def nearly(draw: st.DrawFn, right: st.SearchStrategy[bytes], breaks: tuple[bytes, ...] = BREAKS) -> bytes:
    """What is right, with none to two breaks."""
    data = draw(right)
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.sampled_from(breaks)) + data[at + draw(st.integers(0, 2)) :]
    return data


METHODS = st.sampled_from([
    b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"CONNECT", b"PRI", b"SOURCE",
    b"SETUP", b"ACL", b"BIND", b"CHECKOUT", b"COPY", b"LINK", b"LOCK", b"MERGE", b"MKACTIVITY", b"MKCALENDAR",
    b"MKCOL", b"MOVE", b"NOTIFY", b"PROPFIND", b"PROPPATCH", b"PURGE", b"QUERY", b"REBIND", b"REPORT", b"SEARCH",
    b"SUBSCRIBE", b"UNBIND", b"UNLINK", b"UNLOCK", b"UNSUBSCRIBE", b"M-SEARCH", b"DESCRIBE", b"FLUSH", b"GETS",
])  # fmt: skip
TARGETS = st.sampled_from([b"/", b"/v1/x?y=z", b"//a"]) | text(bytes(range(33, 127))).map(lambda target: b"/" + target)
VALUES = st.sampled_from([b"", b"a\tb", b"a b ", b" caf\xc3\xa9"]) | text(bytes(range(32, 127)), 0, 6)
FIELDS = st.one_of(
    st.tuples(text(TOKEN_BYTES, 1, 6), st.sampled_from([b":", b": ", b":\t "]), VALUES).map(b"".join),
    st.sampled_from([
        b"Connection: close", b"connection: Keep-Alive", b"Connection: x-a, close", b"Connection: upgrade",
        b"Upgrade: h2c", b"Expect: 100-continue", b"TE: trailers", b"Keep-Alive: 5", b"Proxy-Authenticate: x",
    ]),
)  # fmt: skip
FRAMINGS = st.sampled_from([
    [], [], [b"Content-Length: 3"], [b"content-length:0"], [b"Content-Length: 999999999999999999"],
    [b"Transfer-Encoding: chunked"], [b"TRANSFER-ENCODING: Chunked"],
])  # fmt: skip


@st.composite
def right_fields(draw: st.DrawFn, *first: bytes) -> bytes:
    lines = [*first, *draw(st.lists(FIELDS, max_size=4)), *draw(FRAMINGS)]
    return b"".join(line + b"\r\n" for line in draw(st.permutations(lines))) + b"\r\n"


VERSIONS = st.sampled_from([b"HTTP/1.1\r\n", b"HTTP/1.1\r\n", b"HTTP/1.0\r\n"])
STATUSES = st.sampled_from([b"200 OK", b"204 ", b"304", b"404 Not Found", b"103 a\tb", b"599 caf\xe9"])
REQUESTS = nearly(
    st.tuples(METHODS, st.just(b" "), TARGETS, st.just(b" "), VERSIONS, right_fields(b"Host: wire")).map(b"".join)
)
RESPONSES = nearly(
    st.tuples(st.sampled_from([b"HTTP/1.1 ", b"HTTP/1.0 "]), STATUSES, st.just(b"\r\n"), right_fields()).map(b"".join)
)


class Seen:
    """What httptools finds."""

    def __init__(self) -> None:
        self.url = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.head_complete = False
        self.message_complete = False
        self.keep_alive = False
        self.parser: object = None

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.head_complete:
            self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        self.head_complete = True
        if isinstance(self.parser, httptools.HttpRequestParser):
            self.keep_alive = self.parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.message_complete = True


def stripped(fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name, value.strip(b" \t")) for name, value in fields]


@BOUNDED
@given(REQUESTS)
def test_a_request_head_that_is_plain_means_the_same_to_httptools(data: bytes) -> None:
    head = RequestHead(100, b"")
    plain = head.scan(data, 0, len(data)) == PLAIN
    event(f"plain: {plain}")
    if not plain:
        return
    seen = Seen()
    parser = seen.parser = httptools.HttpRequestParser(seen)
    with suppress(httptools.HttpParserUpgrade):  # it stops there, at the end of the head
        parser.feed_data(data)
    assert seen.head_complete
    assert (parser.get_method(), seen.url) == (head.method, head.target)
    assert parser.get_http_version() == f"1.{head.minor}"
    assert stripped(seen.fields) == head.fields
    lengths = [int(value) for name, value in head.fields if name.lower() == b"content-length"]
    assert lengths == ([] if head.content_length < 0 else [head.content_length])
    codings = [value.lower() for name, value in head.fields if name.lower() == b"transfer-encoding"]
    assert codings == ([b"chunked"] if head.chunked else [])
    assert seen.keep_alive or not head.keep_alive  # `close` beside `keep-alive` is a close to us (RFC 9112 §9.3)


@BOUNDED
@given(RESPONSES)
def test_a_response_head_that_is_plain_means_the_same_to_httptools(data: bytes) -> None:
    head = ResponseHead()
    plain = head.scan(data, 0, len(data)) == PLAIN
    event(f"plain: {plain}")
    if not plain:
        return
    seen = Seen()
    parser = httptools.HttpResponseParser(seen)
    with suppress(httptools.HttpParserUpgrade):
        parser.feed_data(data)
    assert seen.head_complete
    assert (parser.get_status_code(), parser.get_http_version()) == (head.status, f"1.{head.minor}")
    assert stripped(seen.fields) == head.fields


EXTENSIONS = st.sampled_from([b"", b"", b"", b";a", b";a=b", b';a="b c"', b";a;b=c"])
CHUNKS = st.tuples(st.integers(1, 20), st.sampled_from([b"%x", b"%X", b"0%x"]), EXTENSIONS).map(
    lambda chunk: chunk[1] % chunk[0] + chunk[2] + b"\r\n" + b"d" * chunk[0] + b"\r\n"
)
TRAILERS = st.sampled_from([b"", b"", b"X-A: b\r\n", b"X-A:\r\nX-B: c\r\n"])
BODIES = nearly(
    st.tuples(
        st.lists(CHUNKS, max_size=4).map(b"".join), st.sampled_from([b"0", b"000"]), EXTENSIONS, st.just(b"\r\n"),
        TRAILERS, st.just(b"\r\n"),
    ).map(b"".join),
    BREAKS[:-3],  # httptools refuses framing fields in trailers; we drop every trailer
)  # fmt: skip


def by_httptools(body: bytes) -> Seen:
    seen = Seen()
    httptools.HttpRequestParser(seen).feed_data(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body
    )
    return seen


def by_us(body: bytes, parts: list[int], reframe: bool) -> tuple[ChunkedBody, bytes, int]:
    """The reader, its output and the bytes it took, fed at the cuts given."""
    chunks = ChunkedBody()
    out, at = b"", 0
    for end in [*sorted({part for part in parts if 0 < part < len(body)}), len(body)]:
        out += chunks.feed(body[:end], at, reframe)
        at += chunks.taken
        if chunks.done or chunks.broken:
            break
    return chunks, out, at


@BOUNDED
@given(BODIES, st.lists(st.integers(1, 60), max_size=6))
def test_chunks_that_are_taken_carry_the_same_to_httptools(body: bytes, cuts: list[int]) -> None:
    chunks, payload, taken = by_us(body, cuts, False)
    whole, whole_payload, whole_taken = by_us(body, [], False)
    assert (chunks.done, chunks.broken, payload) == (whole.done, whole.broken, whole_payload)
    event(f"taken: {chunks.done}")
    if not chunks.done:
        return
    assert taken == whole_taken
    seen = by_httptools(body[:taken])
    assert (seen.message_complete, seen.body) == (True, payload)
    assert chunks.payload == len(payload)


@FEW
@given(st.lists(st.binary(min_size=1, max_size=300), max_size=6), st.lists(st.integers(1, 2000), max_size=10))
def test_chunks_framed_anew_carry_the_same(parts: list[bytes], cuts: list[int]) -> None:
    body = b"".join(b"%x;ext\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\nX-Sum: 1\r\n\r\n"
    chunks, framed, taken = by_us(body, cuts, True)
    assert (chunks.done, taken) == (True, len(body))
    seen = by_httptools(framed)
    assert (seen.message_complete, seen.body) == (True, b"".join(parts))
    assert b"X-Sum" not in framed


@FEW
@given(st.binary(max_size=400))
def test_no_bytes_at_all_upset_a_reader(data: bytes) -> None:
    RequestHead(100, b"").scan(data + b"\r\n\r\n", 0, len(data) + 4)
    ResponseHead().scan(data + b"\r\n\r\n", 0, len(data) + 4)
    chunks, out, taken = by_us(data, [len(data) // 2], True)
    assert taken <= len(data)
    assert len(out) <= len(data) + 128
    assert not (chunks.done and chunks.broken)

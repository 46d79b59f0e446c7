"""A call with an Idempotency-Key is charged once: whoever sends it again gets the answer that is kept, or is told why
not; the key is a name in its own account and route, for its own request and time."""

from __future__ import annotations

import time

import pytest

from . import configs
from .configs import PRICE
from .conftest import NewHost
from .keyed import CHUNKED, ask, call, code, counting, new_key, replayed
from .oracle import Oracle, Talk
from .rig import Gateway

# The answer that is kept


def test_a_repetition_gets_the_answer_of_the_first_call_and_costs_nothing(terms: Gateway, oracle: Oracle) -> None:
    before, key = terms.captured("rich"), new_key()
    with oracle.script(counting()) as name, terms.connect() as client:
        first = ask(client, call(f"once/{name}", key))
        again = [ask(client, call(f"once/{name}", key)) for _ in range(3)]
    assert (first.status, first.body, replayed(first)) == (201, b"1:hello", False)
    for answer in again:
        assert (answer.status, answer.body, answer.one("x-kind"), replayed(answer)) == (201, b"1:hello", "made", True)
        assert answer.one("x-request-id") != first.one("x-request-id")
        assert answer.one("date")
    assert len(oracle.named(name)) == 1
    assert terms.captured("rich") == before + PRICE


def test_it_is_the_same_to_every_worker(terms: Gateway, oracle: Oracle, new_host: NewHost) -> None:
    host = new_host(configs.terms(oracle.port, 9))
    before, one, two = terms.captured("rich"), new_key(), new_key()
    with oracle.script(counting()) as name, terms.connect() as here, host.connect() as there:
        for key, first, second in ((one, here, there), (two, there, here)):
            assert ask(first, call(f"once/{name}", key)).body == ask(second, call(f"once/{name}", key)).body
    assert len(oracle.named(name)) == 2
    assert terms.captured("rich") == before + 2 * PRICE


ANSWERS = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-A: 1\r\n\r\nabc", b"abc"),
    "empty": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-A: 1\r\n\r\n", b""),
    "chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", b"abc"
    ),
    "until the end": (b"HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\nabc", b"abc"),
    "no content": (b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n", b""),
    "refused": (b"HTTP/1.1 422 No\r\nContent-Length: 3\r\nX-A: 1\r\n\r\nbad", b"bad"),
    "dated": (b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nX-A: 1\r\nContent-Length: 0\r\n\r\n", b""),
    "hop-by-hop": (b"HTTP/1.1 200 OK\r\nConnection: X-B\r\nX-B: 1\r\nX-A: 1\r\nContent-Length: 0\r\n\r\n", b""),
    "early hints": (
        b"HTTP/1.1 103 Early Hints\r\nX-A: 0\r\n\r\nHTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 3\r\n\r\nabc", b"abc"
    ),
}  # fmt: skip


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
@pytest.mark.parametrize(("data", "body"), ANSWERS.values(), ids=ANSWERS.keys())
def test_an_answer_is_kept_however_it_was_framed(
    terms: Gateway, oracle: Oracle, data: bytes, body: bytes, version: bytes
) -> None:
    def script(talk: Talk) -> None:
        talk.read_body()
        for i in range(0, len(data), 7):
            talk.send(data[i : i + 7])
        talk.keep = data is not ANSWERS["until the end"][0]

    key = new_key()
    with oracle.script(script) as name, terms.connect() as client, terms.connect() as other:
        first = ask(client, call(f"once/{name}", key))
        again = ask(other, call(f"once/{name}", key).replace(b"HTTP/1.1", b"HTTP/" + version, 1))
    assert (first.status, first.body) == (again.status, again.body)
    assert (again.body, again.one("x-a"), replayed(again)) == (body, "1", True)
    assert again.all("x-b") == []
    if first.all("date") == ["Sun, 06 Nov 1994 08:49:37 GMT"]:
        assert again.all("date") == first.all("date")


def test_a_HEAD_is_answered_like_a_HEAD(terms: Gateway, oracle: Oracle) -> None:
    def script(talk: Talk) -> None:
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")

    key = new_key()
    with oracle.script(script) as name, terms.connect() as client:
        for _ in range(2):
            answer = ask(client, call(f"once/{name}", key, b"", method=b"HEAD"), "HEAD")
            assert (answer.status, answer.one("content-length")) == (200, "500")
    assert replayed(answer)


def test_an_answer_of_64_KiB_is_kept_and_a_larger_one_only_remembered(terms: Gateway, oracle: Oracle) -> None:
    size = 0
    before = terms.captured("rich")

    def script(talk: Talk) -> None:
        talk.read_body()
        talk.answer(200, bytes(size))

    with oracle.script(script) as name, terms.connect() as client:
        for size, kept in ((65000, True), (65536, False), (1 << 20, False)):
            key = new_key()
            assert len(ask(client, call(f"once/{name}", key)).body) == size
            again = ask(client, call(f"once/{name}", key))
            if kept:
                assert (again.status, replayed(again), len(again.body)) == (200, True, size)
            else:
                assert (again.status, code(again)) == (409, "idempotency_no_answer")
                assert (again.one("x-should-retry"), again.all("retry-after")) == ("false", [])
            assert ask(client, call(f"once/{name}", key, b"other")).status == 422
    assert len(oracle.named(name)) == 3
    assert terms.captured("rich") == before + 3 * PRICE


def test_an_answer_that_many_others_came_after_is_only_remembered(terms: Gateway, oracle: Oracle) -> None:
    def script(talk: Talk) -> None:
        talk.read_body()
        talk.answer(200, bytes(60000))

    key = new_key()
    with oracle.script(script) as name, terms.connect() as client:
        assert ask(client, call(f"once/{name}", key)).status == 200
        for _ in range((8 << 20) // 60000 + 1):
            assert ask(client, call(f"once/{name}", new_key())).status == 200
        again = ask(client, call(f"once/{name}", key))
    assert (again.status, code(again)) == (409, "idempotency_no_answer")


# Another request


@pytest.mark.parametrize(
    "other",
    [
        call("once/x", b"k", b"hellO"), call("once/x", b"k", b"hello!"), call("once/x", b"k", b""),
        call("once/y", b"k"), call("once/x?q=1", b"k"), call("once/x", b"k", method=b"PUT"),
    ],
    ids=["body", "longer", "empty", "path", "query", "method"],
)  # fmt: skip
def test_another_request_with_the_same_key_is_a_422(terms: Gateway, oracle: Oracle, other: bytes) -> None:
    before, key = terms.captured("rich"), new_key()
    with terms.connect() as client:
        assert ask(client, call("once/x", key)).status == 200
        answer = ask(client, other.replace(b"Idempotency-Key: k", b"Idempotency-Key: " + key))
        assert (answer.status, code(answer)) == (422, "idempotency_mismatch")
        assert ask(client, call("once/x", key)).body == b"hello"
    assert len(oracle.arrivals) == 1
    assert terms.captured("rich") == before + PRICE


def test_how_a_body_is_cut_makes_no_other_request_of_it(terms: Gateway, oracle: Oracle) -> None:
    key = new_key()
    bodies = [b"5\r\nhello\r\n0\r\n\r\n", b"1\r\nh\r\n4;x=y\r\nello\r\n0\r\nX-T: 1\r\n\r\n"]
    with terms.connect() as client:
        assert ask(client, call("once/x", key, bodies[0], CHUNKED)).body == b"hello"
        for data in (call("once/x", key, bodies[1], CHUNKED), call("once/x", key)):
            client.send(data, by_byte=True)
            assert (client.read().body, len(oracle.arrivals)) == (b"hello", 1)
        assert ask(client, call("once/x", key, b"5\r\nhellO\r\n0\r\n\r\n", CHUNKED)).status == 422


def test_a_repetition_is_answered_when_it_has_come_whole(terms: Gateway) -> None:
    key, body = new_key(), bytes(300_000)
    data = call("once/x", key, body)
    with terms.connect() as client:
        assert len(ask(client, data).body) == len(body)
        client.send(data[:-1])
        assert client.is_silent(0.1)
        client.send(data[-1:] + data)
        for _ in range(2):
            answer = client.read()
            assert (answer.status, code(answer)) == (409, "idempotency_no_answer")


def test_a_key_is_of_an_account_and_a_route(terms: Gateway, oracle: Oracle) -> None:
    key = new_key()
    with oracle.script(counting()) as name, terms.connect() as client:
        assert ask(client, call(f"once/{name}", key)).body == b"1:hello"
        assert ask(client, call(f"once-too/{name}", key)).body == b"2:hello"
        assert ask(client, call(f"once/{name}", key, caller="sk-wire-once-0001")).body == b"3:hello"
        assert ask(client, call(f"once/{name}", key, caller="sk-wire-rich-0002")).body == b"1:hello"
        assert ask(client, call(f"v1/{name}", key)).body == b"4:hello"  # a route that does not heed it
        assert ask(client, call(f"v1/{name}", key)).body == b"5:hello"


def test_a_key_is_forgotten_after_its_time(terms: Gateway, oracle: Oracle) -> None:
    before, key = terms.captured("rich"), new_key()
    with oracle.script(counting()) as name, terms.connect() as client:
        assert ask(client, call(f"once-briefly/{name}", key)).body == b"1:hello"
        assert ask(client, call(f"once-briefly/{name}", key)).body == b"1:hello"
        time.sleep(1.1)
        assert ask(client, call(f"once-briefly/{name}", key, b"other")).body == b"2:other"
    assert terms.captured("rich") == before + 2 * PRICE


# The key


SPELLINGS = {
    "string": (b'"%b"', True), "token": (b"%b", True), "spaces": (b' \t"%b" ', True),
    "escapes": (b'"a\\"b\\\\%b"', True), "in-string": (b'"(a, b; c) %b"', True), "base64": (b"a+b/c:%b==", True),
    "255": (b'"' + b"x" * 225 + b'%30b"', True),
    "256": (b'"' + b"x" * 226 + b'%30b"', False), "empty": (b"", False), "empty-string": (b'""', False),
    "half": (b'"%b', False), "quote": (b'"a"%b"', False), "half-escape": (b'"%b\\"', False),
    "escape": (b'"\\a%b"', False), "inner-space": (b"a %b", False), "list": (b'"a", "%b"', False),
    "parameter": (b'"a";b=%b', False), "bytes": (b'"\xc3\xa4%b"', False), "lone-quote": (b'"', False),
    "tab": (b'"a\t%b"', False), "binary": (b":%b:", True), "braces": (b"{%b}", False),
}  # fmt: skip


@pytest.mark.parametrize(("form", "valid"), SPELLINGS.values(), ids=SPELLINGS.keys())
def test_a_key_is_a_string_or_a_token_of_at_most_255_bytes(
    terms: Gateway, oracle: Oracle, form: bytes, valid: bool
) -> None:
    before = terms.captured("rich")
    name = (b"%030d" % time.time_ns())[:30]
    key = form.replace(b"%30b", name) if b"%30b" in form else form.replace(b"%b", name)
    with terms.connect() as client:
        answer = ask(client, call("once/x", key))
        if valid:
            assert answer.status == 200
            assert replayed(ask(client, call("once/x", key)))
        else:
            assert (answer.status, code(answer), answer.closes) == (400, "idempotency_key_invalid", False)
            assert ask(client, call("v1/x", key)).status == 200  # nobody asks there
    assert len(oracle.arrivals) == 1
    assert terms.captured("rich") == before + PRICE


def test_quotes_are_no_part_of_a_key(terms: Gateway) -> None:
    key = new_key()
    with terms.connect() as client:
        assert not replayed(ask(client, call("once/x", key)))
        assert replayed(ask(client, call("once/x", b'"%b"' % key)))


def test_two_keys_are_none(terms: Gateway, oracle: Oracle) -> None:
    key = new_key()
    with terms.connect() as client:
        answer = ask(client, call("once/x", key, b"hello", b"Idempotency-Key: " + key))
    assert (answer.status, oracle.arrivals) == (400, [])


def test_without_a_key_every_call_is_made(terms: Gateway, oracle: Oracle) -> None:
    before = terms.captured("rich")
    data = call("once/x", b"k").replace(b"Idempotency-Key: k\r\n", b"")
    with terms.connect() as client:
        assert not any(replayed(ask(client, data)) for _ in range(2))
    assert len(oracle.arrivals) == 2
    assert terms.captured("rich") == before + 2 * PRICE

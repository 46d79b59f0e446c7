"""Values of a JSON text are found where it is plain, and are what any other reader finds; all else is not plain."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies

from fastgw._json import ABSENT, ODD, Picker, contains
from fastgw._sse import cut, data_at, is_event

NAMES = ("model", "n", "stream", "usage.total", "usage.parts.cached", "choices[].delta.text", "usage")
MODEL, N, STREAM, TOTAL, CACHED, TEXT, USAGE = range(7)
PICKER = Picker(*NAMES)

keys = strategies.sampled_from(
    ["model", "n", "stream", "usage", "choices", "delta", "text", "total", "x", "é", "Model"]
)
values = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers() | strategies.floats(allow_nan=False)
    | strategies.text(max_size=20),
    lambda inner: strategies.lists(inner, max_size=3) | strategies.dictionaries(keys, inner, max_size=4),
    max_leaves=20,
)  # fmt: skip
objects = strategies.dictionaries(keys, values, max_size=6)


def shown(told: Any, spaced: bool, escaped: bool) -> bytes:
    return json.dumps(told, separators=(" , ", "\t:\n") if spaced else (",", ":"), ensure_ascii=escaped).encode()


@given(objects, strategies.booleans(), strategies.booleans())
def test_what_is_found_is_what_is_there(told: dict[str, Any], spaced: bool, escaped: bool) -> None:
    text = shown(told, spaced, escaped)
    if not PICKER.read(text):
        return
    assert PICKER.holds(text)
    for place, name in enumerate(NAMES[:3]):
        assert PICKER.has(place) == (name in told)
        assert PICKER.null(place) == (told.get(name) is None)
        if name in told:
            assert json.loads(PICKER.value(place)) == told[name]


@given(objects, strategies.data())
def test_what_is_plain_every_reader_takes(told: dict[str, Any], data: strategies.DataObject) -> None:
    text = bytearray(shown(told, False, True))
    for _ in range(data.draw(strategies.integers(1, 3))):
        at = data.draw(strategies.integers(0, len(text) - 1))
        text[at : at + data.draw(strategies.integers(0, 2))] = data.draw(strategies.binary(max_size=2))
        if not text:
            return
    if PICKER.read(bytes(text)):
        fields = msgspec.json.decode(bytes(text), type=dict[str, msgspec.Raw])
        for place, name in enumerate(NAMES[:3]):
            assert PICKER.value(place) == bytes(fields.get(name, msgspec.Raw(b"")))


@pytest.mark.parametrize(
    "text",
    [
        b"", b" ", b"null", b"[]", b'"model"', b"{", b'{"n":1', b'{"n":1}x', b'{"n":01}', b'{"n":+1}', b'{"n":1.}',
        b'{"n":.5}', b'{"n":1e}', b'{"n":-}', b'{"n":tru}', b'{"n":NaN}', b'{"n":1,}', b'{"n":1 "x":2}', b"{'n':1}",
        b'{"n":"\x1f"}', b'{"n":"\\x"}', b'{"n":"\\u12g4"}', b'{"n":"\\ud800"}', b'{"n":"\\udc00"}',
        b'{"n":"\\ud800\\u0041"}', b'{"n":"\\ud800\\ud800"}', b'{"n":"', b'{"n":[1,]}', b'{"n":[1}', b'{"n" 1}',
        b'{"n":1,"n":2}', b'{"N":1}', b'{"\\u006e":1}', b'{"\xc3\xa9":1}', b'{"usage":5}', b'{"choices":{}}',
        b'{"choices":[{"delta":{"text":"a"}},{"delta":{"text":"b"}}]}', b'{"usage":{"total":1,"total":2}}',
        b'{"x":' + b"[" * 100 + b"]" * 100 + b"}", b'{"x":"' + b"a" * (1 << 20) + b'"}',
    ],
)  # fmt: skip
def test_all_else_is_for_a_library(text: bytes) -> None:
    assert not PICKER.read(text)
    assert not PICKER.holds(text)


def test_paths_lead_through_objects_and_arrays() -> None:
    assert PICKER.read(b'{"usage":{"total":7,"parts":{"cached":3}},"choices":[{"i":0},{"delta":{"text":"\\u00e9!"}}]}')
    assert [PICKER.number(place) for place in (TOTAL, CACHED, N)] == [7, 3, ABSENT]
    assert PICKER.size(TEXT) == 3
    assert PICKER.value(USAGE) == b'{"total":7,"parts":{"cached":3}}'
    assert PICKER.read(b'{"usage":null,"choices":[]}')
    assert PICKER.null(USAGE)
    assert PICKER.null(TOTAL)
    assert not PICKER.any(TOTAL, USAGE)
    assert PICKER.any(TOTAL, USAGE + 1)


@pytest.mark.parametrize(
    ("said", "number"),
    [("0", 0), ("64", 64), ("null", ABSENT), ("-1", ODD), ("1.0", ODD), ("1e3", ODD), ('"1"', ODD), ("true", ODD)],
)
def test_numbers(said: str, number: int) -> None:
    assert PICKER.read(b'{"n":%b}' % said.encode())
    assert PICKER.number(N) == number
    assert PICKER.counts(N, N + 1, 64) == (number != ODD)
    assert PICKER.counts(N, N + 1, 63) == (number not in (ODD, 64))


@pytest.mark.parametrize(("said", "flag"), [("true", 1), ("false", 0), ("null", ABSENT), ("1", ODD), ('"true"', ODD)])
def test_flags(said: str, flag: int) -> None:
    assert PICKER.read(b'{"stream":%b}' % said.encode())
    assert PICKER.flag(STREAM) == flag


@given(strategies.text(max_size=30), strategies.booleans())
def test_strings_are_as_long_as_what_they_stand_for(text: str, escaped: bool) -> None:
    raw = json.dumps({"model": text}, ensure_ascii=escaped).encode()
    assert PICKER.read(raw)
    assert PICKER.size(MODEL) == len(text.encode())
    assert PICKER.string(MODEL) == (None if b"\\" in raw else text)


@given(objects, strategies.dictionaries(strategies.sampled_from(NAMES[:3]), values, max_size=3), strategies.booleans())
def test_a_text_with_changes(told: dict[str, Any], changes: dict[str, Any], spaced: bool) -> None:
    if PICKER.read(shown(told, spaced, False)):
        raws = [json.dumps(value).encode() for value in changes.values()]
        changed = PICKER.changed([NAMES.index(name) for name in changes], raws)
        assert json.loads(changed) == {**told, **changes}
        for name in told.keys() & set(NAMES[:3]):
            without = PICKER.without(NAMES.index(name), 0, len(shown(told, spaced, False)))
            assert json.loads(without) == {other: value for other, value in told.items() if other != name}


def test_only_so_many_paths() -> None:
    with pytest.raises(ValueError, match="at most 48 paths"):
        Picker(*(f"n{i}" for i in range(49)))
    with pytest.raises(ValueError, match="too many names"):
        Picker(*(f"a{i}.b.c" for i in range(40)))


def test_a_part_of_bytes_is_found() -> None:
    assert contains(b"abcabd", b"abd")
    assert not contains(b"abcab", b"abd")


@pytest.mark.parametrize(
    ("block", "data"),
    [
        (b"data: {}\n\n", b"{}"),
        (b"event: x\ndata: {}\n\n", b"{}"),
        (b"data: \n\n", b""),
        (b"data:{}\n\n", None),
        (b"data: a\ndata: b\n\n", None),
        (b"data: {}\r\n\r\n", None),
        (b": comment\n\n", None),
        (b"id: 1\nevent: x\ndata: {}\n\n", None),
        (b"data: {}\n", None),
        (b"\n\n", None),
        (b"", None),
    ],
)
def test_the_data_of_a_plain_event(block: bytes, data: bytes | None) -> None:
    at = data_at(block)
    assert (block[at:-2] if at >= 0 else None) == data


@pytest.mark.parametrize(
    ("data", "one"),
    [
        (b"data: a\n\n", True), (b"event: x\ndata: a\n\n", True), (b"data: a\n\ndata: b\n\n", False),
        (b"data: a\n", False), (b"data: a\r\n\r\n", False), (b"\n\n", False), (b"data: a\n\n\n", False), (b"", False),
    ],
)  # fmt: skip
def test_one_event_alone(data: bytes, one: bool) -> None:
    assert is_event(data) == one


@pytest.mark.parametrize(
    ("data", "events"),
    [
        (b"", []), (b"a", [b"a"]), (b"a\n\n", [b"a\n\n"]), (b"a\n\nb\n", [b"a\n\n", b"b\n"]), (b"\n", [b"\n"]),
        (b"a\n\nb\n\n", [b"a\n\n", b"b\n\n"]), (b"a\n\n\n", [b"a\n\n", b"\n"]), (b"a\r\n\r\n", None),
    ],
)  # fmt: skip
def test_several_events_at_once(data: bytes, events: list[bytes] | None) -> None:
    assert cut(data) == events

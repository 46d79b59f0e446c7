"""What a call has used costs exactly what it says: in whole numbers of any size, rounded up once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw._usage import Fare, Tariff, Usage
from fastgw.model import Price

MILLION = 1_000_000
MOST = (1 << 63) - 1
COUNTS = (
    "input", "cached", "written", "written_long", "audio_in", "image_in", "output", "reasoning", "audio_out",
    "image_out", "images", "searches", "characters", "seconds",
)  # fmt: skip
AMOUNTS = tuple(name for name in Price.__struct_fields__ if not name.startswith("above"))
counts = st.one_of(st.integers(0, 3), st.integers(0, 1 << 31), st.integers(0, MOST))
amounts = st.one_of(st.integers(0, 3), st.integers(0, 10**11), st.integers(0, MOST))
usages = st.builds(Usage, **dict.fromkeys(COUNTS, counts))
plain = st.builds(Price, **dict.fromkeys(AMOUNTS, amounts))
prices = st.builds(
    Price, **dict.fromkeys(AMOUNTS, amounts), above_tokens=st.integers(1, 1 << 31), above=st.none() | plain
)


def millionths(price: Price, usage: Usage, input_tokens: int) -> int:
    """Of a nano; the same by hand."""
    plain_in = max(input_tokens - usage.cached - usage.written - usage.audio_in - usage.image_in, 0)
    plain_out = max(usage.output - usage.reasoning - usage.audio_out - usage.image_out, 0)
    counted = usage.images * price.image + usage.searches * price.search + usage.seconds * price.second
    parts = {
        "input": plain_in, "cached": usage.cached, "written": max(usage.written - usage.written_long, 0),
        "written_long": usage.written_long if usage.written else 0, "audio_in": usage.audio_in,
        "image_in": usage.image_in, "output": plain_out, "reasoning": usage.reasoning, "audio_out": usage.audio_out,
        "image_out": usage.image_out, "characters": usage.characters,
    }  # fmt: skip
    tokens: int = sum(count * getattr(price, name) for name, count in parts.items())
    return tokens + (price.request + counted) * MILLION


def tier(price: Price, input_tokens: int) -> Price:
    return price.above if price.above is not None and input_tokens > price.above_tokens else price


def nanos(amount: int) -> int:
    return min(-(-amount // MILLION), MOST)


@given(prices, usages)
def test_a_call_costs_what_its_parts_do(price: Price, usage: Usage) -> None:
    cost = millionths(tier(price, usage.input), usage, usage.input)
    assert Tariff(price).cost_nanos(usage) == nanos(cost)


@given(prices, usages, counts, counts, st.integers(0, MOST))
def test_what_is_paid_for_is_the_most_that_costs_no_more(
    price: Price, likely: Usage, input_tokens: int, tokens: int, paid: int
) -> None:
    fare = Fare()
    fare.rated(Tariff(price), likely, input_tokens)
    at_most = tier(price, input_tokens)
    start, each = millionths(at_most, likely, input_tokens), max(at_most.output, at_most.reasoning)
    assert fare.most_nanos(tokens) == nanos(start + tokens * each)
    text = tier(price, likely.input)
    assert fare.likely_nanos(tokens) == nanos(millionths(text, likely, likely.input) + tokens * text.output)
    rest = paid * MILLION - start
    found = fare.paid_tokens(paid, tokens)
    assert found == (0 if rest < 0 else min(rest // each, tokens) if each else tokens)


def test_what_is_not_rated_costs_nothing() -> None:
    fare = Fare()
    assert (fare.most_nanos(MOST), fare.likely_nanos(MOST), fare.paid_tokens(0, 7)) == (0, 0, 7)


def test_an_amount_beyond_63_bits_is_no_tariff() -> None:
    with pytest.raises(OverflowError):
        Tariff(Price(output=MOST + 1))


def test_usage_is_a_value() -> None:
    usage = Usage(3, output=1)
    assert usage == Usage(input=3, output=1) != Usage(input=3)
    assert usage != (3, 1)
    assert (usage.replace(output=2), usage) == (Usage(3, output=2), Usage(3, output=1))
    assert repr(usage) == "Usage(input=3, output=1)"
    with pytest.raises(TypeError):
        usage.replace(tokens=1)
    with pytest.raises(TypeError):
        hash(usage)

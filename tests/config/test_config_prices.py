"""What a model costs: exactly what genai-prices says, what a file says, and never nothing by not knowing."""

import random
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelPrice, Usage

from fastgw import _usage as ours
from fastgw.config.prices import _BESIDE, _KINDS, Library, completed, marked_up, parse_markup
from fastgw.model import Price
from fastgw.units import NANOS_PER_UNIT

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
LIBRARY = Library(NOON)
PROVIDERS = get_snapshot().providers
# What has no price of its own there, and is charged as text here, so that it is not free.
TEXT_IS_FREE = {"input_mtok": ("input_image_mtok", "input_audio_mtok"), "output_mtok": ("output_image_mtok",)}


def usages() -> list[ours.Usage]:
    """Calls of every size around the tiers, with and without what is read from the cache and written to it."""
    rng = random.Random(7)
    found = [ours.Usage(), ours.Usage(input=1), ours.Usage(output=1)]
    for size in (999, 128_000, 199_999, 200_000, 200_001, 272_000, 272_001, 600_000):
        cached, written = rng.randrange(size // 3), rng.randrange(size // 3)
        long, output = rng.randrange(written), rng.randrange(100_000)
        found.append(ours.Usage(input=size, cached=cached, written=written, written_long=long, output=output))
        found.append(
            ours.Usage(input=size, output=output, reasoning=output // 2, searches=3, seconds=61, characters=77)
        )
    return found


def theirs(usage: ours.Usage) -> Usage:
    return Usage(
        input_tokens=usage.input,
        cache_read_tokens=usage.cached,
        cache_write_tokens=usage.written,
        cache_write_1h_tokens=usage.written_long,
        cache_write_5m_tokens=usage.written - usage.written_long,
        output_tokens=usage.output,
        output_reasoning_tokens=usage.reasoning,
        web_searches=usage.searches,
        audio_seconds=usage.seconds,
        input_audio_seconds=usage.seconds,
        output_audio_seconds=0,
        input_characters=usage.characters,
        input_audio_tokens=0,
        input_image_tokens=0,
        cache_audio_read_tokens=0,
        cache_image_read_tokens=0,
        output_audio_tokens=0,
        output_image_tokens=0,
        output_citation_tokens=0,
        storage_searches=0,
    )


def is_plain(price: ModelPrice) -> bool:
    """Whether text has a price, where pictures or sound have one."""
    said = {name for name, value in price.__dict__.items() if value is not None}
    return all(text in said or not said & set(others) for text, others in TEXT_IS_FREE.items())


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.id)
def test_a_call_costs_what_the_library_says(provider) -> None:  # type: ignore[no-untyped-def]
    calls = [(usage, theirs(usage)) for usage in usages()]
    for model in provider.models:
        prices = list(LIBRARY._of_the_day(model))
        price = LIBRARY.price(provider.id, model.id)
        said = {name for each in prices for name, value in each.__dict__.items() if value is not None}
        if price is None:
            assert not said & _KINDS.keys() or said - _KINDS.keys() - _BESIDE, model.id
            continue
        if len(prices) > 1 or not is_plain(prices[0]):
            continue
        tariff = ours.Tariff(price)
        for usage, other in calls:
            exact = prices[0].calc_price(other)["total_price"] * NANOS_PER_UNIT
            nanos = tariff.cost_nanos(usage)
            # Prices with more digits than a nano a million, an hour of sound and a thousand searches are rounded up.
            least_unit = (
                usage.seconds + usage.searches + 2 + (usage.input + usage.output + usage.characters) // 1_000_000
            )
            assert 0 <= nanos - exact < least_unit + 1, (model.id, usage)


def test_where_a_price_changes_by_the_hour_the_dearest_hour_holds() -> None:
    [model] = [each for each in next(p for p in PROVIDERS if p.id == "deepseek").models if each.id == "deepseek-chat"]
    hours = [Library(datetime(2026, 11, 25, hour, tzinfo=UTC)).price("deepseek", "deepseek-chat") for hour in range(24)]
    assert len(set(map(str, hours))) == 1
    usage = Usage(input_tokens=1_000_000)
    moments = [datetime(2026, 11, 25, hour, tzinfo=UTC) for hour in range(24)]
    assert hours[0] is not None
    assert hours[0].input == NANOS_PER_UNIT * max(
        model.get_prices(moment).calc_price(usage)["total_price"] for moment in moments
    )


def test_who_has_no_models_does_not_load_the_library(tmp_path: Path) -> None:
    file = tmp_path / "fastgw.toml"
    file.write_text('[[upstreams]]\nname = "u"\ntargets = ["http://127.0.0.1:1"]\n'
                    '[[routes]]\nname = "r"\npath = "/"\nupstream = "u"\n')  # fmt: skip
    code = (
        "import sys; from fastgw.cli import main; import fastgw.worker\n"
        f"assert main(['check', '-c', {str(file)!r}]) == main(['--help']) == 0\n"
        "assert not {'genai_prices', 'pydantic'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_tiers_hold_for_all_of_a_longer_input() -> None:
    price = LIBRARY.price("google", "gemini-2.5-pro")
    assert price is not None
    assert (price.input, price.above_tokens) == (1_250_000_000, 200_000)
    assert price.above is not None
    assert price.above.input == 2_500_000_000


def test_what_the_library_does_not_know_has_no_price() -> None:
    assert LIBRARY.price("openai", "gpt-of-tomorrow") is None
    assert LIBRARY.price("openai", "moderation") is None  # it is there, with nothing said
    assert LIBRARY.price("mistral", "mistral-ocr-2505") is None  # by pages, which nobody counts here
    assert "mistral-ocr-2505" not in LIBRARY.names("mistral")


def test_what_nothing_is_said_of_costs_what_it_is_part_of() -> None:
    full = completed({"input": 2, "output": 5, "written": 3})
    assert (full["cached"], full["written_long"], full["reasoning"], full["image_out"]) == (2, 3, 5, 5)
    assert completed({"image_out": 7})["output"] == 7


@pytest.mark.parametrize(
    ("text", "ratio"), [("20%", 1_200_000), ("-5%", 950_000), ("0.0001%", 1_000_001), ("0%", 10**6)]
)
def test_a_markup_is_a_percentage(text: str, ratio: int) -> None:
    assert parse_markup(text) == ratio


@pytest.mark.parametrize("value", ["20", 20, "-100%", "1.00001%", "+3%", None])
def test_other_markups_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="must"):
        parse_markup(value)


def test_a_markup_is_on_every_kind_and_rounds_up() -> None:
    price = Price(input=1, output=10, above_tokens=5, above=Price(input=3))
    more = marked_up(price, parse_markup("20%"))
    assert more == Price(input=2, output=12, above_tokens=5, above=Price(input=4))

"""Decides what models cost: what the library genai-prices knows, or what the file says; nothing is free by not knowing.

The library takes a quarter of a second to load, so only who asks for one of its prices loads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from .. import units
from ..model import Price
from .fields import Fields, parse_table
from .manual import PRICE

if TYPE_CHECKING:
    from genai_prices.types import MatchLogic, ModelInfo, ModelPrice

MODEL_NAME = re.compile(r"[A-Za-z0-9._:/@+-]{1,127}")
_NAMED = re.compile(r"(?!ft:)[A-Za-z0-9@][A-Za-z0-9._:/@+-]{0,125}[A-Za-z0-9]")  # no beginnings of names
FREE = "free"
_RATIO = 1_000_000  # of a markup
_MARKUP = re.compile(r"(-?)([0-9]{1,4}(?:\.[0-9]{1,4})?)%")

# What the library calls a price → which of ours it is, and for how many of our units.
_KINDS: Mapping[str, tuple[str, int]] = {
    "input_mtok": ("input", 1),
    "cache_read_mtok": ("cached", 1),
    "cache_write_mtok": ("written", 1),
    "cache_write_5m_mtok": ("written", 1),
    "cache_write_1h_mtok": ("written_long", 1),
    "input_audio_mtok": ("audio_in", 1),
    "input_image_mtok": ("image_in", 1),
    "output_mtok": ("output", 1),
    "output_reasoning_mtok": ("reasoning", 1),
    "output_audio_mtok": ("audio_out", 1),
    "output_image_mtok": ("image_out", 1),
    "input_mchars": ("characters", 1),
    "web_searches_kcount": ("search", 1_000),
    "audio_hours": ("second", 3_600),
    "input_audio_hours": ("second", 3_600),
    "output_audio_hours": ("second", 3_600),
    "requests_kcount": ("request", 1_000),
}
# What no provider tells beside the tokens, or what is little beside them: a price that has these is known without.
_BESIDE = frozenset((
    "cache_audio_read_mtok", "cache_image_read_mtok", "output_citation_mtok", "storage_searches_kcount",
    "social_searches_kcount", "code_executions_kcount",
))  # fmt: skip
# What costs as much as another kind where nothing is said of it, in this order.
_LIKE: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("input", ("image_in", "audio_in")),
    ("output", ("image_out", "audio_out")),
    ("cached", ("input",)),
    ("written", ("input",)),
    ("written_long", ("written",)),
    ("audio_in", ("input",)),
    ("image_in", ("input",)),
    ("reasoning", ("output",)),
    ("audio_out", ("output",)),
    ("image_out", ("output",)),
)


def completed(known: Mapping[str, int]) -> dict[str, int]:
    """A price's fields, those that nothing is said of as dear as what they are part of."""
    found = dict(known)
    for name, others in _LIKE:
        if name not in found:
            found[name] = max((found[other] for other in others if other in found), default=0)
    return found


class Library:
    """The prices that genai-prices knows, at one moment.

    Where they depend on the day, those of the day hold; where they depend on the hour, the dearest hour's.
    """

    def __init__(self, now: datetime | None = None) -> None:
        self._now = now or datetime.now(UTC)
        self._names: dict[str, dict[str, ModelInfo]] = {}

    def providers(self) -> list[str]:
        """The ids that it knows."""
        from genai_prices.data_snapshot import get_snapshot

        return [provider.id for provider in get_snapshot().providers]

    def names(self, provider: str) -> list[str]:
        """Every name of a model of the provider that it has in full and can be asked for at a price; none of those that
        it calls deprecated, whose price it still tells."""
        named = {name: model for name, model in self._named(provider).items() if not model.deprecated}
        return [name for name, model in named.items() if _NAMED.fullmatch(name) and self._known(model)]

    def price(self, provider: str, name: str) -> Price | None:
        """What the model of that name costs, by its rules for names too; None where it does not know."""
        from genai_prices.data_snapshot import get_snapshot

        model = self._named(provider).get(name)
        if model is None:
            everyone = get_snapshot().providers
            found = next(each for each in everyone if each.id == provider)
            model = found.find_model(name, all_providers=everyone)
        return None if model is None else self._known(model)

    def _named(self, provider: str) -> dict[str, ModelInfo]:
        """The models by their ids, and by the other names that mean one of them alone."""
        from genai_prices.data_snapshot import get_snapshot

        if provider not in self._names:
            models = next(each.models for each in get_snapshot().providers if each.id == provider)
            found = {model.id: model for model in models}
            for model in models:
                for name in _exact(model.match):
                    found.setdefault(name, model)
            self._names[provider] = found
        return self._names[provider]

    def _known(self, model: ModelInfo) -> Price | None:
        return _price(list(self._of_the_day(model)))

    def _of_the_day(self, model: ModelInfo) -> Iterator[ModelPrice]:
        """What holds at some hour of the day."""
        from genai_prices.types import TimeOfDateConstraint

        moments = {self._now}
        for conditional in model.prices if isinstance(model.prices, list) else ():
            if isinstance(conditional.constraint, TimeOfDateConstraint):
                for time in (conditional.constraint.start_time, conditional.constraint.end_time):
                    moments.add(datetime.combine(self._now.date(), time, time.tzinfo or UTC))
        yield from (model.get_prices(moment) for moment in moments)


def _exact(match: MatchLogic) -> Iterator[str]:
    """The names that a rule has in full."""
    from genai_prices.types import ClauseEquals, ClauseOr

    if isinstance(match, ClauseEquals):
        yield match.equals
    elif isinstance(match, ClauseOr):
        for clause in match.or_:
            yield from _exact(clause)


def _price(prices: list[ModelPrice]) -> Price | None:
    """The dearest of some; None where one of them says nothing, or has a kind that is not counted here."""
    from genai_prices.types import TieredPrices

    said = [{key: value for key, value in each.__dict__.items() if value is not None} for each in prices]
    if any(not each.keys() & _KINDS.keys() or each.keys() - _KINDS.keys() - _BESIDE for each in said):
        return None
    tiered = [value for each in said for value in each.values() if isinstance(value, TieredPrices)]
    tiers = {tier.start for value in tiered for tier in value.tiers}
    price: Price | None = None
    above_tokens = 0
    for start in (*sorted(tiers, reverse=True), 0):  # the last tier has no further one above it
        price = Price(**_dearest(_at(each, start) for each in said), above_tokens=above_tokens, above=price)
        above_tokens = start
    return price


def _at(said: Mapping[str, Any], start: int) -> dict[str, int]:
    """Our fields of a price, in nanos, for input longer than `start` tokens; a fraction of a nano counts as one."""
    found: dict[str, int] = {}
    for key, value in said.items():
        if key not in _KINDS:
            continue
        field, parts = _KINDS[key]
        if not isinstance(value, Decimal):
            passed = [tier.price for tier in value.tiers if start and tier.start <= start]
            value = passed[-1] if passed else value.base
        numerator, denominator = value.as_integer_ratio()
        nanos = -(-numerator * units.NANOS_PER_UNIT // (denominator * parts))
        found[field] = max(nanos, found.get(field, 0))
    return found


def _dearest(prices: Iterable[Mapping[str, int]]) -> dict[str, int]:
    full = [completed(price) for price in prices]
    return {field: max(price.get(field, 0) for price in full) for field in {field for price in full for field in price}}


# What the file says


def parse_markup(value: Any) -> int:
    """ "20%" as what a price is multiplied by, in millionths: 1_200_000."""
    match = _MARKUP.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('must be a percentage, like "20%", or "-5%" for less')
    added = int(Decimal(match[2]).scaleb(4))
    if match[1] and added >= _RATIO:
        raise ValueError('must leave something of the price; what is free has price = "free"')
    return _RATIO - added if match[1] else _RATIO + added


def marked_up(price: Price, ratio: int) -> Price:
    """The price times so many millionths; a fraction of a nano counts as one."""
    if ratio == _RATIO:
        return price
    scaled = {name: -(-getattr(price, name) * ratio // _RATIO) for name in _AMOUNTS}
    above = None if price.above is None else marked_up(price.above, ratio)
    return Price(**scaled, above_tokens=price.above_tokens, above=above)


def dearest(price: Price) -> int:
    """The largest amount of a price, its tiers included."""
    amounts: list[int] = [getattr(price, name) for name in _AMOUNTS]
    return max(*amounts, 0 if price.above is None else dearest(price.above))


_AMOUNTS = tuple(row.name for row in PRICE.rows if not row.name.startswith("above"))
_OF_TOKENS = frozenset(name for name, _ in _LIKE)


def read_price(outer: Fields, field: str = "price") -> Price | str | None:
    """What a table says under `price`: a price, or the name "provider/model" of one, or None for nothing, or nothing
    that can be read."""
    raw = outer.raw.get(field)
    if isinstance(raw, dict):
        return _table(outer, field, raw)
    return outer.take(field, _parse_named, None)


def _parse_named(value: Any) -> Price | str:
    if value == FREE:
        return Price()
    if isinstance(value, str) and all(value.partition("/")) and MODEL_NAME.fullmatch(value):
        return value
    raise ValueError(
        'must be a table, like { input = "0.15", output = "0.60" } for a million tokens, or "free", or a model whose '
        'price it is, like "openai/gpt-4o-mini"'
    )


def _table(outer: Fields, field: str, raw: Mapping[str, Any]) -> Price | None:
    report, path = outer.report, (*outer.path, field)
    fields = Fields(report, path, raw, PRICE.names)
    before = len(report.problems)
    said = {name: fields.take(name, units.parse_money_nanos, 0) for name in _AMOUNTS if name in raw}
    of_tokens = [name for name in said if name in _OF_TOKENS]
    for name in ("input", "output"):
        if of_tokens and name not in raw:
            report.refuse((*path, name), f'is missing beside {of_tokens[0]}: "0" where it costs nothing')
    above_tokens = fields.take("above_tokens", _parse_tokens, 0)
    above_raw = fields.take("above", parse_table, None)
    above = _table(fields, "above", above_raw) if above_raw is not None else None
    if ("above" in raw) != ("above_tokens" in raw):
        there, other = ("above", "above_tokens") if "above" in raw else ("above_tokens", "above")
        report.refuse((*path, there), f"needs {other} beside it", raw[there])
    elif above is not None and above.above is not None and above.above_tokens <= above_tokens:
        report.refuse((*path, "above", "above_tokens"), f"must be more than {above_tokens}", above.above_tokens)
    if not any(said.values()) and len(report.problems) == before:
        report.refuse(path, 'names no cost; what is free has price = "free"')
    if len(report.problems) > before:
        return None
    return Price(**completed(said), above_tokens=above_tokens, above=above)


def _parse_tokens(value: Any) -> int:
    if type(value) is int and 1 <= value <= 1_000_000_000:
        return value
    raise ValueError("must be an integer from 1 to 1000000000")

"""Decides how models are shown: who serves each, at what price, within which bounds."""

from collections.abc import Callable

from msgspec import Struct

from . import units
from .model import Candidate, Config, Model, Price

State = Callable[[str], tuple[str, str]]  # of a provider, and why: see `CandidateShown`


class PriceShown(Struct, frozen=True):
    """Decimal strings in the currency's unit: for a million tokens of each kind or characters, for each image, search
    and second, and for the call itself. Where the input is longer than `above_tokens`, `above` holds for all of it."""

    input: str
    cached: str
    written: str
    written_long: str
    audio_in: str
    image_in: str
    output: str
    reasoning: str
    audio_out: str
    image_out: str
    characters: str
    image: str
    search: str
    second: str
    request: str
    above_tokens: int | None
    above: "PriceShown | None"


class CandidateShown(Struct, frozen=True):
    """Those of a lower `rank` are asked first, within it by `weight`. `state` is of the provider: "up" where one of
    its servers and one of its keys may be used, else "down" or "unknown", or how its keys are, and `why`."""

    provider: str
    model: str
    rank: int
    weight: int
    price: PriceShown
    state: str
    why: str


class ModelShown(Struct, frozen=True):
    """`limit_tokens` and `hold_step` are 0 for no such bound; one that is not `listed` is a longer name of another."""

    name: str
    listed: bool
    max_tokens: int
    limit_tokens: int
    hold_step: int
    shrink: bool
    targets: list[CandidateShown]


def shown(config: Config, state: State) -> list[ModelShown]:
    """All that callers may ask for."""
    return [_model(model, state) for model in config.models]


def unknown(_: str) -> tuple[str, str]:
    """The state of every provider where no gateway is asked."""
    return "unknown", ""


def _model(model: Model, state: State) -> ModelShown:
    return ModelShown(
        name=model.name,
        listed=model.listed,
        max_tokens=model.max_tokens,
        limit_tokens=model.limit_tokens,
        hold_step=model.hold_step,
        shrink=model.shrink,
        targets=[_candidate(candidate, state) for candidate in model.candidates],
    )


def _candidate(candidate: Candidate, state: State) -> CandidateShown:
    price = _price(candidate.price)
    return CandidateShown(
        candidate.provider, candidate.model, candidate.rank, candidate.weight, price, *state(candidate.provider)
    )


_AMOUNTS = PriceShown.__struct_fields__[:-2]


def _price(price: Price) -> PriceShown:
    amounts = {name: units.format_money(getattr(price, name)) for name in _AMOUNTS}
    above = None if price.above is None else _price(price.above)
    return PriceShown(**amounts, above_tokens=price.above_tokens or None, above=above)

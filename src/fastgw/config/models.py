"""Decides what [[models]] may say, which names callers may ask for, and what each costs at whoever serves it.

A price that is not known is refused here, with what to write: nothing is served free because nobody knew its price.
"""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from ..model import Candidate, Model, Price
from ..units import MONEY_MAX_NANOS, MONEY_MAX_UNITS
from .fields import Fields, Report, missing, one_of
from .manual import MODEL_TARGETS, MODELS
from .prices import MODEL_NAME, Library, dearest, marked_up, read_price
from .providers import Offer, Terms, read_terms
from .toml_lines import Path

SERVED_MAX = 4_096  # names that the segment has room for
_UNKNOWN = (
    'its price is not known: write price = { input = "…", output = "…" } for a million tokens of each, as much as it '
    'may cost at most, or price = "free"'
)
_NAME_RULE = "must be 1 to 127 of A-Z a-z 0-9 . _ : / @ + -"


class Target(Struct, frozen=True):
    """One that may serve: a model of a provider, and where the file says so."""

    offer: Offer
    model: str
    path: Path
    rank: int
    weight: int = 1
    price: Price | str | None = None


class Pricing:
    """What models cost, by what the file says and by the library."""

    def __init__(self, report: Report, offers: Mapping[str, Offer], library: Library) -> None:
        self._report = report
        self._offers = offers
        self._library = library

    def named(self, name: str, path: Path) -> Price | None:
        """The price of "provider/model", of a provider of the file or of the library; one that is not there is
        refused."""
        provider, _, model = name.partition("/")
        offer = self._offers.get(provider)
        known = self._library.providers()
        ids = [each for each in (offer.prices if offer else "", provider) if each in known]
        for each in ids:
            if price := self._library.price(each, model):
                return price
        rule = f"the library knows no price of {model}" if ids else missing("provider of the library", known)
        self._report.refuse(path, rule, name)
        return None

    def of(self, offer: Offer, model: str, ratio: int | None) -> Price | None:
        """What a provider's model costs, with a markup in millionths; None where nobody knows."""
        price = self._library.price(offer.prices, model) if offer.prices else None
        if price is None:
            price = self.resolve(offer.price, (*offer.path, "price"))
        if ratio is None:
            ratio = offer.terms.ratio
        return price if price is None or ratio is None else self.raised(price, ratio, offer.path)

    def raised(self, price: Price, ratio: int, path: Path) -> Price:
        """The price with a markup; one that becomes more than an amount may be is refused."""
        raised = marked_up(price, ratio)
        if dearest(raised) > MONEY_MAX_NANOS:
            self._report.refuse((*path, "markup"), f"makes a price of more than {MONEY_MAX_UNITS}")
        return raised

    def resolve(self, price: Price | str | None, path: Path) -> Price | None:
        return self.named(price, path) if isinstance(price, str) else price


def read_models(report: Report, tables: list[Any], offers: Mapping[str, Offer], library: Library) -> tuple[Model, ...]:
    """All that callers may ask for: what [[models]] names, then what the providers have, in the order of the file."""
    pricing = Pricing(report, offers, library)
    used: set[str] = set()
    models: dict[str, Model] = {}
    for index, raw in enumerate(tables):
        model = _model(report, index, raw, offers, pricing, used)
        if model.name:
            models.setdefault(model.name, model)
    offered = [(offer, model) for offer in offers.values() for model in _offered(report, offer, pricing, library)]
    for offer, model in offered:  # whole names first: a model's may look like one
        used.add(offer.provider.name)
        whole = f"{offer.provider.name}/{model.name}"
        models.setdefault(whole, replace(model, name=whole))
    for _, model in offered:
        models.setdefault(model.name, model)
    for offer in offers.values():
        if offer.provider.name not in used and not report.problems:
            rule = 'is missing: nothing leads to this provider; write models = ["NAME"], or [[models]] with targets'
            report.refuse((*offer.path, "models"), rule)
    served = {(each.provider, each.model) for model in models.values() for each in model.candidates}
    if len(served) > SERVED_MAX:
        rule = f"there are {len(served)} models that may serve, at most {SERVED_MAX} are possible; name fewer in models"
        report.refuse(("providers",), rule)
    return tuple(replace(model, listed=not _is_long(model, models)) for model in models.values())


def _is_long(model: Model, models: Mapping[str, Model]) -> bool:
    """Whether a name is another's with the provider before it, and means the same."""
    provider, _, short = model.name.partition("/")
    twin = models.get(short)
    return twin is not None and twin.candidates == model.candidates and model.candidates[0].provider == provider


# What providers have


def _offered(report: Report, offer: Offer, pricing: Pricing, library: Library) -> Iterator[Model]:
    """Those of its models that callers may name without [[models]], at its terms."""
    for name, path in _names(report, offer, library).items():
        if price := pricing.of(offer, name, None):
            yield _made(name, (Candidate(offer.provider.name, name, price),), offer.terms)
        elif path:
            report.refuse(path, _UNKNOWN, name)


def _names(report: Report, offer: Offer, library: Library) -> dict[str, Path]:
    """The names that its patterns mean, and where the file has one of them in full."""
    found: dict[str, Path] = {}
    known: list[str] = []
    if offer.prices and offer.models:
        current = [
            name for name in library.names(offer.prices) if not any(matches(name, gone) for gone in offer.without)
        ]
        known = [*current, *offer.also]
    for index, pattern in enumerate(offer.models):
        path: Path = (*offer.path, "models", index)
        if "*" not in pattern:
            found[pattern] = path
            continue
        meant = [name for name in known if matches(name, pattern)]
        if not meant and offer.said:
            rule = "means no model: write names in full where the library knows no price"
            report.refuse(path, rule, pattern)
        for name in meant:
            found.setdefault(name, ())
    return found


def matches(name: str, pattern: str) -> bool:
    """Whether a name is one of a pattern's, in which * alone has a meaning."""
    return fnmatchcase(name, pattern)


# What [[models]] says


def _model(
    report: Report, index: int, raw: Any, offers: Mapping[str, Offer], pricing: Pricing, used: set[str]
) -> Model:
    path: Path = ("models", index)
    fields = Fields(report, path, raw, MODELS.names)
    name = fields.require("name", _name, "")
    price = read_price(fields)
    terms = read_terms(fields)
    if isinstance(price, Price) and terms.ratio is not None:
        report.refuse((*path, "markup"), "price says all of what it costs already", fields.raw["markup"])
    targets = list(_targets(fields, offers))
    used.update(target.offer.provider.name for target in targets)
    candidates = tuple(_candidates(report, targets, price, terms, pricing, path))
    own = terms.over(targets[0].offer.terms) if targets else terms
    fallback = fields.each("fallback_on", one_of("connect", "timeout", "401", "429", "5xx"))
    model = _made(name, candidates, own)
    return replace(model, fallback_on=fallback) if "fallback_on" in fields.raw else model


def _made(name: str, candidates: tuple[Candidate, ...], terms: Terms) -> Model:
    usual = Model("", ())
    limit = terms.limit_tokens or 0
    most = terms.max_tokens or (min(usual.max_tokens, limit) if limit else usual.max_tokens)
    return Model(
        name=name,
        candidates=candidates,
        max_tokens=most,
        limit_tokens=limit,
        hold_step=terms.hold_step or 0,
        shrink=bool(terms.shrink),
    )


def _candidates(
    report: Report, targets: list[Target], price: Price | str | None, terms: Terms, pricing: Pricing, path: Path
) -> Iterator[Candidate]:
    for target in targets:
        if target.price is not None:
            found = pricing.resolve(target.price, (*target.path, "price"))
        elif price is not None:
            found = pricing.resolve(price, (*path, "price"))
            if found is not None and terms.ratio is not None:
                found = pricing.raised(found, terms.ratio, path)
        else:
            found = pricing.of(target.offer, target.model, terms.ratio)
            if found is None:
                report.refuse(target.path, _UNKNOWN, f"{target.offer.provider.name}/{target.model}")
        if found is not None:
            yield Candidate(target.offer.provider.name, target.model, found, target.rank, target.weight)


def _targets(fields: Fields, offers: Mapping[str, Offer]) -> Iterator[Target]:
    path: Path = (*fields.path, "targets")
    raw = fields.raw.get("targets")
    if not isinstance(raw, list) or not raw:
        if fields.is_table:
            rule = 'must be an array of at least one model, like ["openai/gpt-4o-mini"]'
            fields.report.refuse(path, rule if "targets" in fields.raw else "is missing", raw)
        return
    seen: set[tuple[str, str]] = set()
    for rank, value in enumerate(raw):
        group = value if isinstance(value, list) else [value]
        for index, each in enumerate(group):
            place: Path = (*path, rank, index) if isinstance(value, list) else (*path, rank)
            target = _target(fields.report, place, each, rank, offers)
            if target is None:
                continue
            if (same := (target.offer.provider.name, target.model)) in seen:
                fields.report.refuse(place, "is there twice", "/".join(same))
                continue
            seen.add(same)
            yield target


def _target(report: Report, path: Path, value: Any, rank: int, offers: Mapping[str, Offer]) -> Target | None:
    fields = Fields(report, path, value if isinstance(value, dict) else {"model": value}, MODEL_TARGETS.names)
    place = (*path, "model") if isinstance(value, dict) else path
    name = fields.raw.get("model")
    provider, _, model = name.partition("/") if isinstance(name, str) else ("", "", "")
    weight = fields.raw.get("weight", 1)
    if type(weight) is not int or not 1 <= weight <= 1_000:
        report.refuse((*path, "weight"), "must be an integer from 1 to 1000", weight)
        weight = 1
    price = read_price(fields)
    if not (provider and model and MODEL_NAME.fullmatch(f"{provider}/{model}")):
        report.refuse(place, 'must be "provider/model", like "openai/gpt-4o-mini"', name)
    elif provider not in offers:
        report.refuse(place, f'{missing("provider", offers)}; add [[providers]] name = "{provider}"', name)
    else:
        return Target(offers[provider], model, place, rank, weight, price)
    return None


def _name(value: Any) -> str:
    if isinstance(value, str) and MODEL_NAME.fullmatch(value):
        return value
    raise ValueError(_NAME_RULE)

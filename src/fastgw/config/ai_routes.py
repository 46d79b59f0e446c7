"""Decides what a route to models is: which of the other fields mean nothing there, and which routes it comes to."""

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from ..model import Model, Route
from .fields import Fields, Report
from .models import matches

EVERY = "*"
_MESSAGES = "/messages"  # of Anthropic's API, whose errors look different
_MEANINGLESS = {
    "upstream": "a route leads to an upstream or to models, and models is there too",
    "dialect": "a route to models answers each caller in the API that it speaks",
    "methods": "which methods its endpoints have is theirs",
    "set_headers": "is of a route to an upstream; a provider has headers",
    "charge": "a model's answer is charged by the tokens that it has used",
    "cost_header": "a model's answer is charged by the tokens that it has used",
    "units_header": "a model's answer is charged by the tokens that it has used",
    "unit_price": "a model's answer is charged by the tokens that it has used",
    "forward_key": "a provider gets a key of its own, never the caller's",
    "preserve_host": "a provider gets its own Host",
    "upgrades": "its endpoints have no tunnels",
    "minute_price": "its endpoints have no tunnels",
    "mib_price": "its endpoints have no tunnels",
}


def refuse_meaningless(fields: Fields) -> None:
    """Refuse what says nothing on a route with models."""
    for name, rule in _MEANINGLESS.items():
        if name in fields.raw:
            fields.report.refuse((*fields.path, name), rule, fields.raw[name])
    if fields.raw.get("auth") == "none":
        rule = "nobody would pay for what models cost; a key is needed"
        fields.report.refuse((*fields.path, "auth"), rule, "none")


def expanded(report: Report, routes: Sequence[Route], models: Sequence[Model]) -> list[tuple[int, Route]]:
    """The routes that are served, each with its place in the file: one to models becomes one for each API."""
    found: list[tuple[int, Route]] = []
    for index, route in enumerate(routes):
        if not route.models:
            found.append((index, route))
            continue
        names = (EVERY,) if EVERY in route.models else tuple(_named(report, index, route, models))
        openai = replace(route, models=names, dialect="openai", upgrades=())
        messages = replace(openai, path=route.path.rstrip("/") + _MESSAGES, dialect="anthropic")
        found += [(index, openai), (index, messages)]
    return found


def _named(report: Report, index: int, route: Route, models: Sequence[Model]) -> Iterator[str]:
    """The names of models that the route's patterns mean, each once."""
    seen: set[str] = set()
    for number, pattern in enumerate(route.models):
        meant = [model.name for model in models if matches(model.name, pattern)]
        if not meant:
            report.refuse(("routes", index, "models", number), "means none of the models", pattern)
        yield from (name for name in meant if name not in seen)
        seen.update(meant)


def refuse_unreached(report: Report, models: Sequence[Model], routes: Sequence[tuple[int, Route]]) -> None:
    """Models that no route leads to, and routes to models where there are none."""
    leads = [(index, route) for index, route in routes if route.models]
    if models and not leads:
        report.refuse(("providers",), 'no route leads to models: add [[routes]] with path = "/v1/" and models = ["*"]')
    elif leads and not models and not report.problems:
        rule = 'there are no models: add [[providers]], like name = "openai"'
        report.refuse(("routes", leads[0][0], "models"), rule)

"""Decides through which doors the provider is reached, and as whom: directly, or through a gateway in any dialect."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from gateway import Gateway
from provider import Provider

if TYPE_CHECKING:
    from anthropic import Anthropic, AsyncAnthropic
    from openai import AsyncOpenAI, OpenAI


@dataclass(frozen=True)
class Front:
    """A door: where callers knock, with what key, and what the model behind it is called.

    The packages are imported where they are wanted: it takes them seconds.
    """

    url: str  # without a path
    key: str
    model: str

    def spare(self, model: str) -> Front:
        """The same door to a model that is not missed when its provider is left in peace; the provider has but one."""
        return self if self.direct else replace(self, model=model)

    @property
    def direct(self) -> bool:
        return self.key.startswith("sk-prov")

    def openai(self, key: str = "", **settings: Any) -> OpenAI:
        from openai import OpenAI

        return OpenAI(base_url=f"{self.url}/v1", api_key=key or self.key, **{"max_retries": 0, **settings})

    def async_openai(self, **settings: Any) -> AsyncOpenAI:
        from openai import AsyncOpenAI

        return AsyncOpenAI(base_url=f"{self.url}/v1", api_key=self.key, **{"max_retries": 0, **settings})

    def anthropic(self, key: str = "", **settings: Any) -> Anthropic:
        from anthropic import Anthropic

        return Anthropic(base_url=self.url, api_key=key or self.key, **{"max_retries": 0, **settings})

    def async_anthropic(self, **settings: Any) -> AsyncAnthropic:
        from anthropic import AsyncAnthropic

        return AsyncAnthropic(base_url=self.url, api_key=self.key, **{"max_retries": 0, **settings})


def direct(provider: Provider) -> Front:
    """The provider itself."""
    return Front(provider.url, "sk-prov-0001", "gpt-4o-mini")


def doors(own: str, *others: str) -> pytest.MarkDecorator:
    """Every test of a file through these doors: the provider itself, a gateway to the callers' own dialect, and, where
    there is more time, to others."""
    slow = [pytest.param(name, marks=pytest.mark.slow) for name in others]
    return pytest.mark.parametrize("front", ["direct", own, *slow], indirect=True)


def through(gateway: Gateway, model: str) -> Front:
    """A gateway, and one of its models."""
    return Front(gateway.url, "sk-acme-0001", model)


# The gateway: a model for each provider, called as its dialect is, and one whose provider fails

# Nanos a token, of each kind; what a provider counts and a ledger holds are compared at these.
PRICES: dict[str, int] = {"input": 1_000, "cached": 100, "written": 1_250, "output": 4_000, "thoughts": 5_000}
BASES = {"openai": "/v1", "anthropic": "/v1", "gemini": "/v1beta", "bedrock": ""}
# What OpenAI has by itself, and files, whose keeping nobody is charged for.
OPERATIONS = [
    "responses", "compact", "completions", "embeddings", "moderations", "images", "speech", "transcriptions", "files",
]  # fmt: skip
# Of OpenAI's dialect, each for what makes a gateway leave a provider in peace.
SPARE = ("flaky", "limited", "paused")
UPSTREAM_MODELS = {
    "openai": "gpt-4o-mini",
    "anthropic": "claude-haiku-4-5",
    "gemini": "gemini-2.5-flash",
    "bedrock": "anthropic.claude-haiku-4-5-20251001-v1:0",
}


def toml(values: Mapping[str, object]) -> str:
    """An inline table of TOML."""
    return "{ " + ", ".join(f"{name} = {json.dumps(value)}" for name, value in values.items()) + " }"


def per_million(nanos: int) -> str:
    """So many nanos a token as decimal money for a million."""
    return f"{nanos // 1000}.{nanos % 1000:03d}"


def configuration(url: str, prices: Mapping[str, int]) -> str:
    """Everything but accounts and keys, for a provider at `url`; prices in nanos a token."""
    names = {"thoughts": "reasoning"}
    price = toml({names.get(name, name): per_million(nanos) for name, nanos in prices.items()})
    text = "[server]\n"
    for name in (*BASES, *SPARE):
        kind = "openai" if name in SPARE else name
        base, model = BASES[kind], UPSTREAM_MODELS[kind]
        text += f'\n[[providers]]\nname = "{name}"\ntype = "{kind}"\nurl = "{url}{base}"\n'
        text += f'keys = ["sk-prov-{name}-0001"]\nmodels = []\n'
        if name == "openai":
            text += f"operations = {json.dumps(OPERATIONS)}\n"
        text += f'\n[[models]]\nname = "{name}"\ntargets = ["{name}/{model}"]\nprice = {price}\n'
    return text + '\n[[routes]]\nname = "models"\npath = "/v1/"\nmodels = ["*"]\nprice = "0"\n'

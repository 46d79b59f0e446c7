"""Decides through which doors the provider is reached, and as whom: directly, or through a gateway in any dialect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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

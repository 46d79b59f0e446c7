"""Decides what a call to a model asks for, and what is sent to a provider for it.

A caller and a provider of one dialect are joined by `passing`, others by way of `canonical`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from msgspec import Raw

from ..model import Candidate, Price, Provider
from . import errors, forms, passing, passing_typed, thoughts, translating
from .asking import Body, read_body
from .canonical import Failure, UnsupportedError
from .members import CAPS, MAX_COMPLETION_TOKENS, MAX_TOKENS, MESSAGES, MODEL, STREAM_OPTIONS
from .operations import Operation
from .relay import Asked, Relay, Sent

# What a provider of a dialect has without saying so.
_BUILT_IN: dict[str, frozenset[str]] = {
    "openai": frozenset(("chat",)),
    "anthropic": frozenset(("messages",)),
}
_EPOCH = "1970-01-01T00:00:00Z"


class Call:
    """A call that has come whole; `asked` is what it comes to."""

    def __init__(self, operation: Operation, target: str, body: Body) -> None:
        self.operation = operation
        self.asked: Asked = body.asked
        self._target = target
        self._body = body

    def serves(self, provider: Provider) -> bool:
        """Whether a provider has what this call is for."""
        return self._passes(provider) or translating.can(self.operation, provider)

    def _passes(self, provider: Provider) -> bool:
        name = self.operation.name
        same = provider.dialect == self.operation.dialect
        return same and (name in _BUILT_IN.get(provider.dialect, ()) or name in provider.operations)

    def counted(self) -> bytes | None:
        """The gateway's own answer where no provider counts tokens."""
        tokens = self.asked.usage.input
        if self.operation.name == "count_tokens":
            return orjson.dumps({"input_tokens": tokens})
        if self.operation.name == "input_tokens":
            return orjson.dumps({"object": "response.input_tokens", "input_tokens": tokens})
        return None

    def prepare(self, provider: Provider, candidate: Candidate, max_tokens: int) -> Sent:
        """The request for one provider, where at most `max_tokens` may be generated in all choices together.

        May be called again, for another. Raises UnsupportedError.
        """
        if not self._passes(provider):
            if not translating.can(self.operation, provider):
                raise UnsupportedError(f"The model has no {self.operation.name}; GET /v1/models lists others.", "model")
            return translating.prepare(self.operation, self._body.raw, provider, candidate.model, max_tokens)
        if self._body.is_json:
            return self._json(provider, candidate, max_tokens)
        body = self._body.raw
        if self._body.model_field is not None:
            body = forms.changed(body, self._body.model_field, candidate.model.encode())
        return Sent(self._target, body, b"", self._relay(candidate.price), self._body.content_type.encode("latin-1"))

    def _json(self, provider: Provider, candidate: Candidate, max_tokens: int) -> Sent:
        body, name = self._body, self.operation.name
        if body.hosted and not candidate.price.search:
            message = f"This model has no price for {body.hosted}, which its provider would charge."
            raise UnsupportedError(message, "tools")
        changes: dict[int, Any] = {}
        if self.asked.model and self.asked.model != candidate.model:
            changes[MODEL] = candidate.model
        if max_tokens and self.asked.bounded:
            self._bound(changes, provider, max(max_tokens // self.asked.choices, 1))
        if name == "messages" and thoughts.has_foreign(body.raw) and (messages := body.member(MESSAGES)) is not None:
            changes[MESSAGES] = thoughts.own(Raw(messages))
        hide = False
        if self.asked.stream and provider.stream_usage and name in ("chat", "completions"):
            options = body.option(STREAM_OPTIONS)
            hide = options.get("include_usage") is not True
            if hide:
                changes[STREAM_OPTIONS] = {**options, "include_usage": True}
        relay = self._relay(candidate.price, hide, body.hosted == "web_search_options")
        return Sent(self._target, body.changed(changes), b"", relay)

    def _bound(self, changes: dict[int, Any], provider: Provider, most: int) -> None:
        """Change what the caller says of bounds: there must be one at least, and none above `most`."""
        caps = self._body.caps
        place = CAPS[self.operation.name][0]
        if self.operation.name == "chat" and provider.max_tokens_field == "max_tokens":
            place = MAX_TOKENS
            if MAX_COMPLETION_TOKENS in caps:  # of those who know only the older name, some refuse the other
                changes[MAX_COMPLETION_TOKENS] = None
                changes[place] = min(most, *caps.values())
                return
        if not caps:
            changes[place] = most
        for said, cap in caps.items():
            if cap > most:
                changes[said] = most

    def _relay(self, price: Price, hide_usage: bool = False, searches: int = 0) -> Relay:
        name = self.operation.name
        if name in ("chat", "completions"):
            return passing.Chunks(hide_usage, searches)
        if name == "messages":
            return passing.Messages()
        if name in ("responses", "compact"):
            return passing_typed.Responses()
        if name in ("images", "image_edits", "image_variations"):
            return passing_typed.Images(each=price.image > 0)
        if name in ("transcriptions", "translations"):
            return passing_typed.Transcripts(by_second=price.second > 0)
        relay = passing_typed.Typed()
        if name == "speech" and price.characters:
            relay.usage = self.asked.usage
        return relay


def read(operation: Operation, rest: str, query: str, content_type: str, body: bytes) -> Call:
    """What a call asks for; `rest` is the path below the route's. Raises BodyError."""
    target = "/" + rest.strip("/")
    if query:
        target += "?" + query
    return Call(operation, target, read_body(operation, body, content_type))


def write_error(dialect: str, failure: Failure) -> bytes:
    """The body of an error in a caller's dialect."""
    return errors.write(dialect, failure)


def list_models(dialect: str, names: Sequence[str]) -> bytes:
    """The answer to GET /v1/models, all on one page."""
    shown = [_shown(dialect, name) for name in names]
    if dialect != "anthropic":
        return orjson.dumps({"object": "list", "data": shown})
    first, last = (names[0], names[-1]) if names else (None, None)
    return orjson.dumps({"data": shown, "has_more": False, "first_id": first, "last_id": last})


def show_model(dialect: str, name: str) -> bytes:
    """The answer to GET /v1/models/NAME."""
    return orjson.dumps(_shown(dialect, name))


def _shown(dialect: str, name: str) -> dict[str, Any]:
    if dialect == "anthropic":
        return {"type": "model", "id": name, "display_name": name, "created_at": _EPOCH}
    return {"id": name, "object": "model", "created": 0, "owned_by": "fastgw"}

"""Decides what a call of a prompt becomes on its way to a model, and how it is answered of what the model says.

A prompt is messages with variables, `{{ name }}`. A value is put into the strings of the messages before these become
JSON: it can say whatever it wants, and never be another message, role or parameter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from .._usage import Usage
from ..model import Prompt
from ..refusals import TABLE, Refusal
from . import canonical, chat, errors, sse
from .canonical import BodyError, Failure
from .checking import Checker, Wrong
from .relay import Portion, Relay
from .templates import filled

PROBLEM = b"application/problem+json"
JSON = b"application/json"
EVENTS = b"text/event-stream"
_FENCED = re.compile(r"\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*", re.DOTALL | re.IGNORECASE)
_NAME_REST = re.compile(r"[^A-Za-z0-9_-]")  # what the name of a response format has no room for


class InputError(BodyError):
    """The inputs of a call are not what the prompt takes; `wrong` says each that is known of it."""

    def __init__(self, wrong: list[Wrong]) -> None:
        first = wrong[0]
        super().__init__(f"{first.place or 'The body'}: {first.message}", first.place)
        self.wrong = wrong


def text_of(value: Any) -> str:
    """A value as it stands in a message: a string as it is, nothing for null, all else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def is_strict(schema: Any) -> bool:
    """Whether providers can hold a model to a schema exactly: all of its objects are closed, and nothing is optional.

    https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
    """
    match schema:
        case list():
            return all(map(is_strict, schema))
        case dict():
            properties = schema.get("properties")
            if isinstance(properties, dict) or schema.get("type") == "object":
                named = set(properties or {})
                if schema.get("additionalProperties") is not False or named != set(schema.get("required", ())):
                    return False
            return all(map(is_strict, schema.values()))
    return True


class Rendering:
    """A prompt made ready to be called. Raises ValueError where a schema is none."""

    def __init__(self, prompt: Prompt) -> None:
        self.prompt = prompt
        schema = msgspec.json.decode(prompt.inputs)
        self._inputs = Checker(schema)
        self._output = Checker(msgspec.json.decode(prompt.output)) if prompt.output else None
        self._messages = msgspec.json.decode(prompt.messages)
        self._defaults = {
            name: said["default"]
            for name, said in schema.get("properties", {}).items()
            if isinstance(said, dict) and "default" in said
        }
        self._members: dict[str, Any] = {"model": prompt.model, **msgspec.json.decode(prompt.parameters)}
        if prompt.output:
            self._members["response_format"] = self._response_format()

    def _response_format(self) -> dict[str, Any]:
        schema = msgspec.json.decode(self.prompt.output)
        form = {"name": _NAME_REST.sub("_", self.prompt.name), "schema": schema, "strict": is_strict(schema)}
        return {"type": "json_schema", "json_schema": form}

    @property
    def structured(self) -> bool:
        return self._output is not None

    def request(self, body: bytes, stream: bool) -> bytes:
        """The chat completion that a call asks for. Raises BodyError."""
        try:
            inputs = msgspec.json.decode(body) if body.strip() else {}
        except (ValueError, RecursionError) as error:
            raise BodyError(f"The body is no JSON that can be read: {error}") from None
        return self.completion(inputs, stream)

    def completion(self, inputs: Any, stream: bool) -> bytes:
        """The same for inputs that have been read."""
        wrong = self._inputs.wrong(inputs)
        if wrong:
            raise InputError(wrong)
        if not isinstance(inputs, dict):
            raise BodyError("The body is no JSON object.")
        texts = {name: text_of(value) for name, value in (self._defaults | inputs).items()}
        asked = {**self._members, "messages": filled(self._messages, texts)}
        if stream:
            asked["stream"] = True
        return msgspec.json.encode(asked)

    def shaped(self, text: str, finish: str, declined: bool) -> bytes:
        """The body of an answer, of what the model has said. ValueError, with words for the caller: it is not what it
        should be."""
        cut = finish == canonical.LENGTH
        if self._output is None:
            return msgspec.json.encode({"text": text, "truncated": True} if cut else {"text": text})
        if declined:
            raise ValueError(f"the model declined to answer: {text[:1000]}")
        fenced = _FENCED.fullmatch(text)
        try:
            value = msgspec.json.decode(fenced[1] if fenced else text)
        except (ValueError, RecursionError):
            why = "was cut at max_tokens" if cut else "is no JSON"
            raise ValueError(f"the model's answer {why}") from None
        for wrong in self._output.wrong(value):
            raise ValueError(f"the model's answer is not of its schema: {wrong.place or 'it'}: {wrong.message}")
        return msgspec.json.encode(value)


def problem(failure: Failure, docs_url: str = "", wrong: Sequence[Wrong] = ()) -> bytes:
    """An error of a prompt (RFC 9457), under our code where it is one of ours, else the provider's."""
    code = failure.code or failure.kind
    row = TABLE.get(Refusal[code.upper()]) if code.upper() in Refusal.__members__ else None
    told: dict[str, Any] = {
        "type": f"{docs_url}#{code}" if docs_url and row else "about:blank",
        "title": row.title if row else HTTPStatus(failure.status).phrase,
        "status": failure.status,
        "detail": failure.message,
        "code": code,
        "retryable": failure.kind in (errors.RATE_LIMIT, errors.OVERLOADED),
    }
    if wrong:
        told["errors"] = [{"pointer": f"#{each.pointer}", "detail": each.message} for each in wrong]
    return msgspec.json.encode(told)


class Shaping(Relay):
    """A model's answer, said in OpenAI's dialect by another relay, as the caller of a prompt gets it.

    `mistake` is why it is not what it should be: known when it is whole, or its stream is, and charged all the same.
    `write` makes the body of an error.
    """

    def __init__(self, inner: Relay, rendering: Rendering, write: Callable[[Failure], bytes]) -> None:
        super().__init__()
        self.mistake: Failure | None = None
        self._inner = inner
        self._rendering = rendering
        self._write = write
        self._reader = chat.AnswerReader()
        self._parts: list[str] = []  # of a streamed answer that is checked in the end
        self._declined = False
        self._finish = canonical.STOP
        self._closed = False

    @property
    def structured(self) -> bool:
        return self._rendering.structured

    def charged(self, likely: Usage) -> tuple[Usage, bool]:
        self._inner.relayed = self.relayed
        return self._inner.charged(likely)

    def whole(self, body: bytes) -> bytes:
        self.content_type = JSON
        said = chat.read_answer(self._inner.whole(body))
        self._learn()
        texts = [part.text for part in said.parts if isinstance(part, canonical.Text | canonical.Refused)]
        declined = any(isinstance(part, canonical.Refused) for part in said.parts)
        try:
            return self._rendering.shaped("".join(texts), said.finish, declined)
        except ValueError as error:
            return self._write(self._mistaken(error))

    def failed(self, status: int, body: bytes) -> tuple[Failure, bytes]:
        failure, _ = self._inner.failed(status, body)
        return failure, self._write(failure)

    def feed(self, data: bytes) -> list[Portion]:
        self.content_type = EVENTS
        return self._said(self._inner.feed(data))

    def finish(self) -> list[Portion]:
        self.content_type = EVENTS
        return self._said(self._inner.finish())

    def stop(self, failure: Failure) -> bytes:
        return sse.event(self._write(failure), b"error")

    def _learn(self) -> None:
        inner = self._inner
        self.usage, self.known, self.relayed = inner.usage, inner.known, inner.relayed
        self.ended, self.failure = inner.ended, inner.failure

    def _said(self, portions: list[Portion]) -> list[Portion]:
        shown = [Portion(self._event(portion.data), portion.tokens) for portion in portions]
        self._learn()
        if self._closed:
            return []
        if self.failure is not None:
            self._closed = True
            shown.append(Portion(self.stop(self.failure), 0))
        elif self.ended:
            self._closed = True
            shown.append(Portion(self._last(), 0))
        return shown

    def _event(self, data: bytes) -> bytes:
        """The event for what the model says in some of the other relay's."""
        text = ""
        for piece in self._reader.feed(data):
            match piece:
                case canonical.TextPiece() | canonical.RefusedPiece():
                    self._declined = self._declined or isinstance(piece, canonical.RefusedPiece)
                    text += piece.text
                case canonical.End():
                    self._finish = piece.finish
        if not text:
            return b""
        if self.structured:
            self._parts.append(text)
        return sse.event(msgspec.json.encode({"text": text}))

    def _last(self) -> bytes:
        """The end of a stream: whether it was cut, or is not what it should be."""
        if self.structured:
            try:
                self._rendering.shaped("".join(self._parts), self._finish, self._declined)
            except ValueError as error:
                return self.stop(self._mistaken(error))
        elif self._finish == canonical.LENGTH:
            return sse.event(b'{"text":"","truncated":true}') + sse.DONE
        return sse.DONE

    def _mistaken(self, error: ValueError) -> Failure:
        words = f"The answer cannot be used, and was charged: {error}"
        self.mistake = Failure(502, errors.SERVER, words, "answer_invalid")
        return self.mistake

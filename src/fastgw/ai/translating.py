"""Decides how a caller of one dialect and a provider of another are joined: every answer is read and said anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from .._usage import Usage
from ..model import Provider
from . import anthropic, bedrock, chat, errors, gemini, gemini_embeddings, responses
from .canonical import (
    Answer,
    End,
    Failure,
    Piece,
    RefusedPiece,
    Request,
    TextPiece,
    ThinkingPiece,
    ToolBegin,
    ToolPiece,
    Used,
)
from .estimate import piece as tokens_of
from .operations import Operation
from .relay import Portion, Relay, Sent


class Reader(Protocol):
    def feed(self, data: bytes) -> list[Piece]: ...
    def finish(self) -> list[Piece]: ...


class Writer(Protocol):
    content_type: bytes

    def write(self, piece: Piece) -> bytes: ...
    def finish(self) -> bytes: ...


class Speaker(Protocol):
    """What a module of a provider's dialect has."""

    def AnswerReader(self) -> Reader: ...
    def read_answer(self, body: bytes) -> Answer: ...
    def read_error(self, status: int, body: bytes) -> Failure: ...
    def path(self, request: Request, model: str) -> str: ...
    def write_request(self, request: Request, model: str) -> bytes: ...


class Listener(Protocol):
    """What a module of a caller's dialect has."""

    def AnswerWriter(self, request: Request) -> Writer: ...
    def read_request(self, body: bytes) -> Request: ...
    def write_answer(self, answer: Answer) -> bytes: ...
    def write_error(self, failure: Failure) -> bytes: ...


_SPEAKERS: dict[str, Speaker] = {"openai": chat, "anthropic": anthropic, "gemini": gemini, "bedrock": bedrock}
_LISTENERS: dict[str, Listener] = {"chat": chat, "responses": responses, "messages": anthropic}


def can(operation: Operation, provider: Provider) -> bool:
    """Whether a provider of another dialect, or without this endpoint, can answer it all the same."""
    if operation.name in _LISTENERS:
        return provider.dialect in _SPEAKERS
    return provider.dialect == "gemini" and operation.name in _GEMINI and operation.name in provider.operations


def prepare(operation: Operation, body: bytes, provider: Provider, model: str, max_tokens: int) -> Sent:
    """A caller's request as the provider wants it. BodyError, UnsupportedError."""
    if operation.name in _GEMINI:
        return _GEMINI[operation.name](body, model)
    caller = _LISTENERS[operation.name]
    request = caller.read_request(body)
    request.max_tokens = max_tokens or request.max_tokens
    if provider.dialect == "openai":
        written = chat.write_request(
            request, model, max_tokens_field=provider.max_tokens_field, stream_usage=provider.stream_usage
        )
        return Sent(chat.path(request, model), written, b"", Translation(chat, caller, request))
    speaker = _SPEAKERS[provider.dialect]
    relay = Translation(speaker, caller, request)
    return Sent(speaker.path(request, model), speaker.write_request(request, model), b"", relay)


def _count(body: bytes, model: str) -> Sent:
    request = anthropic.read_count(body)
    return Sent(gemini.count_path(model), gemini.write_count(request, model), b"", _Counted())


def _embed(body: bytes, model: str) -> Sent:
    asked = gemini_embeddings.read_request(body)
    written = gemini_embeddings.write_request(asked, model)
    return Sent(gemini_embeddings.path(model), written, b"", _Embedded(asked))


_GEMINI = {"count_tokens": _count, "embeddings": _embed}


def weight(piece: Piece) -> int:
    """Tokens of output, estimated, in a piece."""
    match piece:
        case TextPiece() | ThinkingPiece() | RefusedPiece():
            return tokens_of(piece.text)
        case ToolPiece():
            return tokens_of(piece.arguments)
        case ToolBegin():
            return tokens_of(piece.name)
    return 0


class Translation(Relay):
    """An answer that is read in the provider's dialect and said in the caller's."""

    def __init__(self, provider: Speaker, caller: Listener, request: Request) -> None:
        super().__init__()
        self._provider = provider
        self._caller = caller
        self._reader = provider.AnswerReader()
        self._writer = caller.AnswerWriter(request)
        self._model = request.model
        self._whole = False
        self.content_type = self._writer.content_type if request.stream else b"application/json"

    def whole(self, body: bytes) -> bytes:
        answer: Answer = _sensible(self._provider.read_answer, body)
        answer.model = answer.model or self._model  # Bedrock does not say
        written = sum(map(_part_tokens, answer.parts))
        self.usage = answer.usage if answer.usage != Usage() else None
        self.relayed = answer.usage.output or written
        self.ended = True
        return self._caller.write_answer(answer)

    def failed(self, status: int, body: bytes) -> tuple[Failure, bytes]:
        failure = self._provider.read_error(status, body)
        return failure, self._caller.write_error(failure)

    def feed(self, data: bytes) -> list[Portion]:
        return self._said(_sensible(self._reader.feed, data))

    def finish(self) -> list[Portion]:
        portions = self._said(_sensible(self._reader.finish))
        if self._whole and self.failure is None:
            self.ended = True
            self.usage = self.known
            portions.append(Portion(self._writer.finish(), 0))
        return portions

    def stop(self, failure: Failure) -> bytes:
        return self._writer.write(failure)

    def _said(self, pieces: list[Piece]) -> list[Portion]:
        portions = []
        for piece in pieces:
            match piece:
                case Used():
                    self.known = piece.usage
                case End():
                    self._whole = True
                case Failure():
                    self.failure = piece
            if data := self._writer.write(piece):
                portions.append(Portion(data, weight(piece)))
        self.relayed += sum(portion.tokens for portion in portions)
        return portions


class _Counted(Relay):
    """Tokens that Gemini has counted for a caller of Anthropic's."""

    def whole(self, body: bytes) -> bytes:
        self.usage, self.ended = Usage(), True
        return msgspec.json.encode({"input_tokens": gemini.read_count(body)})

    def failed(self, status: int, body: bytes) -> tuple[Failure, bytes]:
        failure = gemini.read_error(status, body)
        return failure, errors.write("anthropic", failure)


class _Embedded(Relay):
    """Embeddings of Gemini's for a caller of OpenAI's."""

    def __init__(self, asked: gemini_embeddings.Embeddings) -> None:
        super().__init__()
        self._asked = asked

    def whole(self, body: bytes) -> bytes:
        written, self.usage = gemini_embeddings.read_answer(self._asked, body)
        self.ended = True
        return written

    def failed(self, status: int, body: bytes) -> tuple[Failure, bytes]:
        failure = gemini.read_error(status, body)
        return failure, errors.write("openai", failure)


def _part_tokens(part: Any) -> int:
    return sum(tokens_of(getattr(part, name, "")) for name in ("text", "name", "arguments"))


def _sensible(read: Callable[..., Any], *given: bytes) -> Any:
    """ValueError, whatever way it makes no sense in."""
    try:
        return read(*given)
    except RecursionError:
        raise ValueError("the answer is nested too deeply") from None

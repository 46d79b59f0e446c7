"""Decides how a prompt is called that is published as a route: its inputs make a call to its model, and what the model
says is shaped.

All else is as for a call that says itself what is to be said: what it holds, who is asked, what it costs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from .. import model
from ..ai import calls, operations
from ..ai.canonical import BodyError, Failure
from ..ai.prompt_document import document
from ..ai.prompts import EVENTS, JSON, PROBLEM, InputError, Rendering, Shaping, problem
from ..refusals import Refusal
from .completion import Completion
from .providers import Endpoint, Models, Offer, Served

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._call import Ticket
    from ..ai.checking import Wrong
    from ..ai.relay import Sent
    from .ends import ClientEnd
    from .plane import Plane
    from .service import Service

ENDPOINT = Endpoint(operations.TABLE["chat"], "chat/completions")


def published(config: model.Config) -> dict[str, Published | Document]:
    """What is called on the routes of prompts, by `Route.prompt`."""
    docs_url = config.server.docs_url
    found: dict[str, Published | Document] = {
        prompt.whole_name: Published(prompt, docs_url) for prompt in config.prompts
    }
    if config.prompts:
        found["*"] = Document(config)
    return found


class Published:
    """A version of a prompt, ready to be called."""

    def __init__(self, prompt: model.Prompt, docs_url: str) -> None:
        self.prompt = prompt
        self.rendering = Rendering(prompt)
        self.docs_url = docs_url

    def open(self, plane: Plane, client: ClientEnd, ticket: Ticket, service: Service) -> Completion:
        """What becomes of a call."""
        return Prompting(plane, client, ticket, service)

    def terms(self, models: Models) -> Models:
        """Its model, at no price where the tokens are part of the prompt's own."""
        if not self.prompt.included:
            return models
        served = {name: _free(one) for name, one in models.served.items()}
        return Models(models.base, models.dialect, served, models.scopes, models.hashed)


def _free(served: Served) -> Served:
    nothing = model.Price()
    offers = [Offer(replace(offer.candidate, price=nothing), offer.source, offer.number) for offer in served.offers]
    return Served(served.model, offers)


class Prompting(Completion):
    """A call of a prompt."""

    relay: Shaping

    def __init__(self, plane: Plane, client: ClientEnd, ticket: Ticket, service: Service) -> None:
        super().__init__(plane, client, ticket, service)
        assert isinstance(service.prompt, Published)
        self.published = service.prompt
        self.accept = plane.gate.head.value(b"accept")
        self.said_lines = b""
        self.wrong: Sequence[Wrong] = ()

    def _received(self, body: bytes) -> None:
        path, _, _ = self.target.partition(b"?")
        if path != self.models.base:
            self.unserved(Refusal.NO_ROUTE)
            return
        self.endpoint = ENDPOINT
        self.dialect = ENDPOINT.dialect
        self.streams = EVENTS in self.accept.lower()
        try:
            said = self.published.rendering.request(body, self.streams)
            self.call = calls.read(ENDPOINT.operation, ENDPOINT.rest, "", "application/json", said)
        except BodyError as error:
            self.wrong = error.wrong if isinstance(error, InputError) else ()
            self._invalid(error)
            return
        name = self.published.prompt.model
        served = self.models.served.get(name)
        if served is None or not served.offers:
            self._unknown(name)
        else:
            self._admit(served)

    def _ask(self, sent: Sent) -> None:
        sent.relay = Shaping(sent.relay, self.published.rendering, self._problem)
        super()._ask(sent)

    def _problem(self, failure: Failure) -> bytes:
        return problem(failure, self.published.docs_url)

    def _say(self, verdict: int, failure: Failure, lines: bytes = b"") -> None:
        body = problem(failure, self.published.docs_url, self.wrong)
        self._answer(verdict, failure.status, PROBLEM, body, lines, False)

    def _answer(self, verdict: int, status: int, kind: bytes, body: bytes, lines: bytes, charge: bool) -> None:
        mistake = self.relay.mistake if charge else None
        if mistake is not None:
            verdict, status = Refusal.ANSWER_INVALID, mistake.status
            lines += b"X-Should-Retry: false\r\n"
        super()._answer(verdict, status, PROBLEM if status >= 400 else kind, body, lines, charge)

    def _hand_out_last(self, verdict: int, data: bytes, done: bool) -> None:
        if verdict == 0 and self.relay.mistake is not None:
            verdict = Refusal.ANSWER_INVALID
        super()._hand_out_last(verdict, data, done)


class Document:
    """What describes all prompts, for programs; anybody may read it, and it costs nothing."""

    def __init__(self, config: model.Config) -> None:
        self.body = document(config)

    def open(self, plane: Plane, client: ClientEnd, ticket: Ticket, service: Service) -> Completion:
        return _Telling(plane, client, ticket, service)

    def terms(self, models: Models) -> Models:
        return models


class _Telling(Completion):
    """A call that is answered with the document."""

    def _received(self, body: bytes) -> None:  # noqa: ARG002
        path, _, _ = self.target.partition(b"?")
        prompt = self.service.prompt
        if path != self.models.base or not isinstance(prompt, Document):
            self.unserved(Refusal.NO_ROUTE)
        else:
            self._answer(0, 200, JSON, prompt.body, b"Access-Control-Allow-Origin: *\r\n", False)

"""Decides how a call to a model is made: what it asks for, what must be held for it, who is asked, and who next.

Whoever is asked next gets the call as if it were the first: with a key of its own, and for money that is held before.
That is only while nothing of an answer has been passed on. However many are asked, it is one call: one hold, one
charge, one record, which names who served it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .._lines import is_spent, request
from .._targets import affinity
from ..ai import calls, errors, operations
from ..ai.calls import read as read_call
from ..ai.canonical import BodyError, Failure, UnsupportedError
from ..refusals import Refusal
from .delivery import Delivery
from .metering import open_meter
from .pauses import asked_ms, exhausted_ms
from .providers import BUSY, CONNECT, REFUSED, TIMEOUT, Endpoint, cause_of, open_choices
from .retries import RESET
from .stages import UNREAD, WAITING

if TYPE_CHECKING:
    from .._call import Ticket
    from .._http import ResponseHead
    from ..ai.calls import Call
    from ..ai.relay import Sent
    from .ends import ClientEnd
    from .plane import Plane
    from .providers import Models, Served
    from .service import Service

CAUSES = {RESET: CONNECT}


def open_completion(plane: Plane, client: ClientEnd, service: Service) -> Completion:
    """What becomes of the request that the gate has just admitted, on a route to models."""
    if service.prompt is not None:
        return service.prompt.open(plane, client, plane.gate.ticket(), service)
    call = Completion.__new__(Completion)
    call._open(plane, client, plane.gate.ticket(), service)
    return call


class Completion(Delivery):
    """A call to one of the models of its service."""

    def _open(self, plane: Plane, client: ClientEnd, ticket: Ticket, service: Service) -> None:
        Delivery._open(self, plane, client, ticket, service)
        head = self.gate.head
        models = self.service.models
        assert models is not None
        self.models: Models = models
        self.dialect = models.dialect
        self.sent_kind = head.value(b"content-type")
        # what a caller may say to a provider that speaks its dialect, beside the body
        if models.dialect == "anthropic":
            self.said_lines = head.lines(b"anthropic-version") + head.lines(b"anthropic-beta")
        else:
            self.said_lines = head.lines(b"openai-beta")
        self.names_version = head.value(b"anthropic-version") != b""
        self.repeatable = True  # as far as `_repeats` lets it be
        self.named = True
        self.endpoint: Endpoint
        self.call: Call
        self.unsupported: UnsupportedError | None = None
        # Once the body has come, the gate's head may be another's.
        self.affinities: dict[str, int] | None = None
        if models.hashed:
            self.affinities = {name: affinity(self.gate, field) for name, field in models.hashed}

    # What it asks for

    def _received(self, body: bytes) -> None:
        query = ""
        endpoint = self.models.endpoints.get(self.target) if self.method == b"POST" else None
        if endpoint is None:
            path, _, asked_for = self.target.partition(b"?")
            rest = path[len(self.models.base) :].decode("latin-1").removeprefix("v1/")
            operation = operations.find("GET" if self.ticket.head_method else self.method.decode(), rest)
            if operation is None:
                self.unserved(Refusal.NO_ROUTE)
                return
            if operation.name in ("models", "model"):
                self._list(rest.partition("/")[2])
                return
            endpoint = Endpoint(operation, rest)
            query = asked_for.decode("latin-1")
        self.endpoint = endpoint
        self.dialect = endpoint.dialect
        try:
            kind = self.sent_kind.decode("latin-1")
            call = read_call(endpoint.operation, endpoint.rest, query, kind, body)
        except BodyError as error:
            self._invalid(error)
            return
        self.call = call
        asked = call.asked
        self.streams = asked.stream
        served = self.models.served.get(asked.model) if asked.model else self.models.first
        scope = self.ticket.scope()
        if scope and endpoint.operation.body == operations.OPAQUE:
            self._out_of_scope(endpoint.operation.name)
        elif served is None or not served.offers or (scope and not self._covers(scope, served)):
            self._unknown(asked.model)
        else:
            self._admit(served)

    def _admit(self, served: Served) -> None:
        """Hold for the call, and make it."""
        asked = self.call.asked
        limit = served.limit_tokens
        if limit and asked.max_tokens > limit:
            self._invalid(BodyError(f"this model generates at most {limit} tokens a call", "max_tokens"))
            return
        offers = served.offers_of(self.call)
        if not offers:
            self._unserved_here(asked.model)
            return
        most = (asked.max_tokens or served.max_tokens * asked.choices) if self.endpoint.generates else 0
        self.choices = open_choices(served, offers, asked.input_tokens + most)
        self.meter = open_meter(self.gate, self.ticket, asked, most, self.service.paid)
        verdict = self.gate.reserve(self.ticket, asked.input_tokens + most)
        if verdict:
            self.unserved(verdict)
        elif not self._ask_next(True):
            self._nobody()

    def _invalid(self, error: BodyError) -> None:
        code = "unsupported_parameter" if isinstance(error, UnsupportedError) else "invalid_body"
        verdict = Refusal.UNSUPPORTED_PARAMETER if isinstance(error, UnsupportedError) else Refusal.INVALID_BODY
        self._say(verdict, Failure(400, errors.INVALID, str(error), code, error.parameter))

    def _unknown(self, name: str) -> None:
        message = f"There is no model {name[:128]!r} here, or your key may not use it."
        self._say(Refusal.MODEL_NOT_FOUND, Failure(404, errors.NOT_FOUND, message, "model_not_found", "model"))

    def _covers(self, scope: int, served: Served) -> bool:
        """Whether the caller's key may ask for a model, by the name that the call has for it, if it has one."""
        return self.models.scopes.allows(scope, self.call.asked.model or served.model.name)

    def _out_of_scope(self, operation: str) -> None:
        """What is passed on unread may lead to any model."""
        message = f"Your key is limited to some models, and {operation} may lead to others."
        self._say(Refusal.MODEL_NOT_FOUND, Failure(404, errors.NOT_FOUND, message, "model_not_found"))

    def _unserved_here(self, name: str) -> None:
        """No provider of the model has this endpoint: what the gateway knows itself, or a refusal."""
        body = self.call.counted()
        if body is not None:
            self._answer(0, 200, b"application/json", body, self._id_lines(), False)
            return
        message = f"The model {name!r} has no {self.endpoint.operation.name}; GET the list of models for others."
        self._invalid(UnsupportedError(message, "model"))

    def _say(self, verdict: int, failure: Failure, lines: bytes = b"") -> None:
        """Answer with an error of our own, which costs nothing."""
        out = errors.write(self.dialect, failure)
        self._answer(verdict, failure.status, b"application/json", out, lines + self._id_lines(), False)

    def _list(self, name: str) -> None:
        """The models that a caller can use, or one of them, in the form that it reads."""
        dialect = "anthropic" if self.names_version else self.dialect
        scope, scopes = self.ticket.scope(), self.models.scopes
        if not name:
            body = calls.list_models(dialect, [each for each in self.models.names if scopes.allows(scope, each)])
        elif name in self.models.served and scopes.allows(scope, name):
            body = calls.show_model(dialect, name)
        else:
            self._unknown(name)
            return
        self._answer(0, 200, b"application/json", body, self._id_lines(), False)

    # Who is asked

    def _ask_next(self, first: bool = False) -> bool:
        """Make the next try; false where nobody is left who can be asked."""
        choices, meter, call = self.choices, self.meter, self.call
        while choices.next():
            offer = choices.offer
            meter.set(offer.tariff)
            verdict = meter.hold(choices.served, self.streams)
            if verdict:
                choices.unsent()
                if first:
                    self.unserved(verdict)
                    return True
                choices.drop()
                continue
            try:
                sent = call.prepare(offer.source.provider, offer.candidate, meter.cap)
            except UnsupportedError as error:
                self.unsupported = error
                choices.unsent()
                choices.drop()
                continue
            self._ask(sent)
            return True
        return False

    def _ask(self, sent: Sent) -> None:
        """Send it to the provider that was chosen, with the key that was."""
        choices = self.choices
        source = choices.offer.source
        self.relay = sent.relay
        self.group = source.group
        if self.affinities is not None:
            self.affinity = self.affinities.get(source.name, 0)
        self._choose()
        posts = self.endpoint.posts
        credential = choices.credential
        host_line, lines, more = self.pool.host_line, credential.lines, sent.fields
        if credential.signer is not None:
            path = source.base_path.decode() + sent.path
            lines = credential.signer.fields(host_line[6:-2].decode("latin-1"), path, sent.body) + lines
        if source.dialect != self.dialect:
            more = source.version + more
        elif self.names_version:
            more = self.said_lines + more
        else:
            more = self.said_lines + source.version + more
        self.first = request(
            b"POST" if posts else self.method, source.base_path, sent.path, host_line, lines, more,
            self.streams, sent.content_type, posts, sent.body,
        )  # fmt: skip
        self._take(False)

    def _repeats(self, cause: int) -> bool:
        return self._falls_back(CAUSES.get(cause, TIMEOUT))

    def _falls_back(self, cause: str) -> bool:
        choices = self.choices
        if self.stage != WAITING or self.bytes_out or not cause:
            return False
        offer, reading = choices.offer, self.reading
        choices.go_on(cause)
        self.reading = UNREAD
        self.partial = b""
        self.parts = None
        self.size = 0
        self.chunks = None
        self.tries = 0
        self.tried = None
        self.renewed = False
        self.waited = True
        self._leave_upstream(False)
        if self._ask_next():
            return True
        # What has come of this try is what the caller gets, as this one's and at its price.
        choices.offer = offer
        self.reading = reading
        self.meter.set(offer.tariff)
        return False

    def refused(self, refusal: int) -> None:
        self.choices.unsent()
        if not self._falls_back(CONNECT):
            Delivery.refused(self, refusal)

    def _nobody(self) -> None:
        """Not one could be asked."""
        choices = self.choices
        if self.unsupported is not None:
            self._invalid(self.unsupported)
            return
        wait_s = choices.wait_s()
        if wait_s:
            self._busy(wait_s, "The providers of this model take no more calls for now; try again later.")
        else:
            self.unserved(Refusal.MODEL_UNAVAILABLE)

    def _busy(self, seconds: int, message: str) -> None:
        lines = b"Retry-After: %d\r\n" % seconds
        self._say(Refusal.ADMITTED, Failure(429, errors.RATE_LIMIT, message, "rate_limit_exceeded"), lines)

    # What they answer, and what that says of a key

    def _heed(self, answer: ResponseHead) -> None:
        self.pause_ms = exhausted_ms(answer, self.choices.offer.source.dialect, time.time()) if is_spent(answer) else 0
        if self.pause_ms and self.said < 300:
            self.choices.credential.standing.exhaust(self.pause_ms)

    def _blame(self, failure: Failure, status: int, for_ms: int) -> None:
        # A provider says 403 of what one call asks for too: no caller should disable a key.
        standing = self.choices.credential.standing
        if failure.kind == errors.QUOTA or status == 402:
            standing.refuse(True)
        elif failure.kind == errors.AUTHENTICATION or status == 401:
            standing.refuse(False)
        elif cause_of(status, failure.kind) == BUSY:
            standing.rest(for_ms or failure.retry_after_s * 1000 or self.pause_ms)

    def _refused(self, body: bytes) -> None:
        choices = self.choices
        said = self.said
        failure, out = self.relay.failed(said, body)
        cause = cause_of(said, failure.kind)
        for_ms = asked_ms(self.retry_ms, self.retry_after, time.time())
        choices.used(0)
        self._blame(failure, said, for_ms)
        lines = choices.offer.line + self._id_lines()
        if self._falls_back(cause):
            return
        if cause == REFUSED or failure.kind == errors.QUOTA:
            self.unserved(Refusal.PROVIDER_REFUSED)
            return
        seconds = choices.wait_s() if cause == BUSY else -(-for_ms // 1000)
        if seconds and (cause == BUSY or said >= 500):
            lines += b"Retry-After: %d\r\n" % seconds
        self._answer(0, failure.status, b"application/json", out, lines, False)

"""Decides who serves a call to a model: which candidate next, with which key of its provider, and who is left in peace.

A key rests for as long as its provider asks for, and is not used for a while where the provider does not know it or its
money has run out; nor is it asked for more than the provider allows it. All workers know that of each other.
"""

from __future__ import annotations

import random
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from .._credentials import Credentials, Drawn, Standing
from .._usage import Tariff
from ..ai import operations, signing
from ..rows import served_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .. import model
    from .._segment import Segment
    from ..ai.calls import Call
    from ..ai.operations import Operation
    from .ends import Group

TRIES_MAX = 8  # of one call, keys and candidates together
VERSION_LINE = b"anthropic-version: 2023-06-01\r\n"

# What a try may end with, as `fallback_on` names it
CONNECT, TIMEOUT, REFUSED, BUSY, FAILED = "connect", "timeout", "401", "429", "5xx"
PASSED_ON = ""  # what no other candidate would mend


def cause_of(status: int, kind: str) -> str:
    """Of an answer with that status, or of a failure in the middle of one, whose kind is a Failure's."""
    if status == 429 or kind in {"rate_limit", "quota"}:
        return BUSY
    if status in {401, 402, 403} or kind in {"authentication", "permission"}:
        return REFUSED
    if status == 408 or kind == "timeout":
        return TIMEOUT
    return FAILED if status >= 500 or kind in {"overloaded", "server"} or 300 <= status < 400 else PASSED_ON


class Credential:
    """A key of a provider: it stands in `lines`, with what else the provider is told, or `signer` signs with it."""

    def __init__(self, secret: model.Secret | None) -> None:
        self.secret = secret
        self.lines = b""
        self.signer: signing.Signer | None = None
        self.standing: Standing


class Source:
    """A provider as this worker sees it: where its calls go, and the keys that it may be asked with, in turn."""

    def __init__(self, provider: model.Provider, group: Group, table: Credentials) -> None:
        self.credentials: list[Credential] = []
        self.turn = 0
        self.set(provider, group, table)

    def set(self, provider: model.Provider, group: Group, table: Credentials) -> None:
        """Go by this from now on; what is known of keys that stay is kept."""
        known = {credential.secret: credential for credential in self.credentials}
        self.provider = provider
        self.name = provider.name
        self.dialect = provider.dialect
        self.base_path = provider.base_path.encode()
        self.group = group
        lines = "".join(f"{name}: {value}\r\n" for name, value in provider.headers)
        self.lines = lines.encode("latin-1")
        versioned = provider.dialect != "anthropic" or b"anthropic-version:" in self.lines.lower()
        self.version = b"" if versioned else VERSION_LINE  # where the caller names none
        secrets: tuple[model.Secret | None, ...] = provider.keys or (None,)
        self.credentials = [known.get(secret) or Credential(secret) for secret in secrets]
        for credential in self.credentials:
            self._equip(credential, table)

    def _equip(self, credential: Credential, table: Credentials) -> None:
        """Give it what the provider wants to see of the key, and what is known of it."""
        provider = self.provider
        secret = "" if credential.secret is None else credential.secret.reveal()
        credential.standing = table.standing(provider.name, secret, provider.rate, provider.token_rate)
        credential.lines = self.lines
        credential.signer = None
        if secret and provider.region:
            credential.signer = signing.Signer(secret, provider.region)
        elif secret:
            line = f"{provider.key_header}: {provider.key_scheme}{secret}\r\n".encode("latin-1")
            credential.lines = line + self.lines


class Offer:
    """A candidate of a model: `number` is its model's in the call log, `line` says who served to the caller."""

    def __init__(self, candidate: model.Candidate, source: Source, number: int) -> None:
        self.candidate = candidate
        self.source = source
        self.number = number
        self.rank = candidate.rank
        self.tariff = Tariff(candidate.price)
        self.line = f"X-Fastgw-Model: {candidate.provider}/{candidate.model}\r\n".encode("latin-1", "replace")


class Served:
    """A model as callers name it, and its offers, those that are asked first before the others."""

    def __init__(self, model: model.Model, offers: list[Offer]) -> None:
        self.model = model
        self.limit_tokens = model.limit_tokens
        self.max_tokens = model.max_tokens
        self.hold_step = model.hold_step
        self.shrink = model.shrink
        self.offers = sorted(offers, key=lambda offer: offer.rank)
        self.fallback_on = frozenset(model.fallback_on)
        self.having: dict[str, list[Offer]] = {}

    def offers_of(self, call: Call) -> list[Offer]:
        """Those whose providers have what the call is for: its operation, whatever else it asks."""
        name = call.asked.operation
        offers = self.having.get(name)
        if offers is None:
            offers = self.having[name] = [offer for offer in self.offers if call.serves(offer.source.provider)]
        return offers


class Endpoint:
    """An operation at a path below the route's, as calls to it are read."""

    def __init__(self, operation: Operation, rest: str) -> None:
        self.operation = operation
        self.rest = rest
        self.dialect = operation.dialect
        self.generates = operation.generates
        self.posts = operation.body == operations.JSON


def open_choices(served: Served, offers: list[Offer], tokens: int) -> Choices:
    """For one call. `offers` are those of `served` that have the endpoint, one at least; `tokens` is what it may use,
    estimated."""
    choices = Choices.__new__(Choices)
    choices._open(served, offers, tokens)
    return choices


class Choices:
    """Who may still be asked for one call. `offer` and `credential` are who was chosen last, `drawn` what the call has
    taken of that key's limits."""

    def _open(self, served: Served, offers: list[Offer], tokens: int) -> None:
        self.served = served
        self.offers = offers
        self.tokens = tokens
        self.left = offers  # never changed: others have it too
        self.tried: list[Credential] | None = None  # with the offer that is asked now
        self.tries = 0
        first: Offer = offers[0]
        self.offer = first
        self.credential = first.source.credentials[0]
        self.drawn: Drawn | None = None

    def next(self) -> bool:
        """Choose; false where nobody is left. A candidate whose provider has another key is asked with that first."""
        while self.left and self.tries < TRIES_MAX:
            offer = self._first()
            if self._take(offer.source):
                self.offer = offer
                self.tries += 1
                return True
            self._leave(offer)
        return False

    def _leave(self, offer: Offer) -> None:
        """It is not asked any more for this call."""
        self.left = [each for each in self.left if each is not offer]
        self.tried = None

    def _take(self, source: Source) -> bool:
        """The next key in turn that has not been tried for the call, does not rest, and has room for it."""
        count = len(source.credentials)
        for i in range(count):
            credential = source.credentials[(source.turn + i) % count]
            if self.tried is not None and credential in self.tried:
                continue
            drawn = credential.standing.take(self.tokens)
            if drawn is not None:
                source.turn = (source.turn + i + 1) % count
                self.credential = credential
                self.drawn = drawn
                self.tried = [credential] if self.tried is None else [*self.tried, credential]
                return True
        return False

    def unsent(self) -> None:
        """The call did not go to who was chosen last."""
        if self.drawn is not None:
            self.drawn.free()

    def used(self, tokens: int) -> None:
        """It did, and has used so many tokens; where nobody says that, it is all that it has taken."""
        if self.drawn is not None:
            self.drawn.used(tokens)

    def _first(self) -> Offer:
        """Of those with the lowest rank, the one that was asked before, or one by weight."""
        first = self.left[0]
        if len(self.left) == 1 or self.left[1].rank != first.rank:
            return first
        if self.tries and self.offer in self.left:
            return self.offer
        equal = [offer for offer in self.left if offer.rank == first.rank]
        return random.choices(equal, [offer.candidate.weight for offer in equal])[0]

    def go_on(self, cause: str) -> None:
        """A try has failed because of that: its key was refused or rests, and another may do, or the candidate has."""
        if cause not in (BUSY, REFUSED):
            self.drop()
        if cause not in self.served.fallback_on:
            self.left = [self.offer] if self.offer in self.left else []

    def drop(self) -> None:
        """No other key would make the candidate that was chosen last serve this call."""
        if self.offer in self.left:
            self._leave(self.offer)

    def wait_s(self) -> int:
        """In how many seconds, rounded up, the first key of any of them may be used; 0: all are refused."""
        waits = [
            credential.standing.wait_ms(self.tokens) for offer in self.offers for credential in offer.source.credentials
        ]
        return max(-(-min((wait for wait in waits if wait >= 0), default=0) // 1000), int(max(waits) >= 0))


class Scopes:
    """What keys may ask for that are limited to some models, by the numbers of their sets, which never change."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.known: dict[int, tuple[str, ...]] = {}

    def allows(self, number: int, name: str) -> bool:
        """Whether a key with the set of that number, 0 for all, may ask for a model by that name."""
        if not number:
            return True
        patterns = self.known.get(number)
        if patterns is None:
            patterns = self.known[number] = self.segment.scope_of(number)
        return any(fnmatchcase(name, pattern) for pattern in patterns)


class Models:
    """The models that one route leads to, by the names that callers use."""

    def __init__(
        self,
        base: bytes,
        dialect: str,
        served: Mapping[str, Served],
        scopes: Scopes,
        hashed: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        self.scopes = scopes
        self.base = base  # of the paths of its endpoints
        self.dialect = dialect
        self.served = served
        self.hashed = hashed  # providers whose servers are chosen by what calls have in common, and the field for it
        # In lists, a model has its shorter name alone.
        self.names = [name for name, one in served.items() if one.model.listed or name.partition("/")[2] not in served]
        self.first: Served | None = next(iter(served.values()), None)
        # What may be posted to, by its whole path; clients of some APIs have the version in theirs, though it is in the
        # route's too.
        self.endpoints: dict[bytes, Endpoint] = {
            base + version + rest.encode(): Endpoint(operation, rest)
            for rest, operation in operations.POSTED.items()
            for version in (b"", b"v1/")
        }


class Sources:
    """All providers of a worker, by name."""

    def __init__(self) -> None:
        self.sources: dict[str, Source] = {}
        self.table: Credentials | None = None

    def prepare(self, config: model.Config, segment: Segment) -> None:
        """Map the table of their keys, if there are any. Raises OSError or SegmentError."""
        if self.table is None and config.providers:
            self.table = Credentials(segment)

    def set(self, config: model.Config, groups: Mapping[str, Group], segment: Segment) -> None:
        """Go by this configuration from now on; `groups` has the upstreams by name. The numbers of the models that
        serve must be in the segment already; without one, a call's record does not say who served it."""
        self.scopes = Scopes(segment)
        former = self.sources
        self.sources = {}
        self.prepare(config, segment)
        for provider in config.providers:
            source = former.get(provider.name)
            assert self.table is not None
            if source is None:
                source = Source(provider, groups[provider.name], self.table)
            else:
                source.set(provider, groups[provider.name], self.table)
            self.sources[provider.name] = source
        self.hashed = [
            (upstream.name, upstream.hash_field)
            for upstream in config.upstreams
            if upstream.balance == "hash" and upstream.name in self.sources
        ]
        numbers = {name: number for number, name in enumerate(segment.models(), 1)}
        self.served = {
            one.name: Served(
                one,
                [
                    Offer(candidate, self.sources[candidate.provider], numbers.get(served_name(candidate), 0))
                    for candidate in one.candidates
                ],
            )
            for one in config.models
        }

    def of(self, route: model.Route) -> Models | None:
        """What the route leads to, None where it has no models."""
        if not route.models:
            return None
        names: Iterable[str] = self.served if "*" in route.models else route.models
        served = {name: self.served[name] for name in names if name in self.served}
        base = route.path.encode()
        if route.dialect == "anthropic":
            base = base.removesuffix(b"messages")
        return Models(base, route.dialect, served, self.scopes, self.hashed)

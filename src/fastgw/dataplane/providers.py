"""Decides who serves a call to a model: which candidate next, with which key of its provider, and who is left in peace.

What is known here of a provider is this worker's own: a key rests for as long as the provider asks for, and is not used
for a while where the provider does not know it or its money has run out.
"""

from __future__ import annotations

import random
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from ..ai import signing
from ..rows import served_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .. import model
    from .._segment import Segment
    from .ends import Group

REST_S = 1  # after a 429 that names no time, doubled with each in a row
REST_MAX_S = 600  # also of what a provider asks for: nobody looks in between
DISABLED_S = 600  # until a key that was refused is tried again
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


def seconds_of(retry_after_ms: bytes, retry_after: bytes, now_s: float) -> int:
    """What Retry-After says (RFC 9110 §10.2.3), or its form in milliseconds, rounded up; 0 for nothing."""
    try:
        if retry_after_ms:
            return max(-(-int(float(retry_after_ms)) // 1000), 0)
        if retry_after[:1].isdigit():
            return -(-int(float(retry_after) * 1000) // 1000)
        if retry_after:
            return max(int(parsedate_to_datetime(retry_after.decode("latin-1")).timestamp() - now_s), 0)
    except (ValueError, OverflowError):
        pass
    return 0


class Credential:
    """A key of a provider: `line` is how it stands in a head, or `signer` signs with it. It is not used before the tick
    `rests_until`."""

    def __init__(self, secret: model.Secret | None) -> None:
        self.secret = secret
        self.line = b""
        self.signer: signing.Signer | None = None
        self.rests_until = 0
        self.times = 0  # that it was told to rest, in a row
        self.refused = False  # the last time it was used

    def rest(self, tick: int, seconds: int, tick_ms: int) -> None:
        """Leave it in peace for so long, 0 for a time of our own."""
        own_s = REST_S << min(self.times, 10)
        self.times += 1
        self.refused = False
        self.rests_until = tick + min(seconds or own_s, REST_MAX_S) * 1000 // tick_ms

    def refuse(self, tick: int, tick_ms: int) -> None:
        """The provider does not take it, or its account there has no money."""
        self.refused = True
        self.rests_until = tick + DISABLED_S * 1000 // tick_ms

    def worked(self) -> None:
        self.times = 0
        self.refused = False
        self.rests_until = 0


class Source:
    """A provider as this worker sees it: where its calls go, and the keys that it may be asked with, in turn."""

    def __init__(self, provider: model.Provider, group: Group) -> None:
        self.credentials: list[Credential] = []
        self.turn = 0
        self.set(provider, group)

    def set(self, provider: model.Provider, group: Group) -> None:
        """Go by this from now on; what is known of keys that stay is kept."""
        known = {credential.secret: credential for credential in self.credentials}
        self.provider = provider
        self.group = group
        lines = "".join(f"{name}: {value}\r\n" for name, value in provider.headers)
        self.lines = lines.encode("latin-1")
        versioned = provider.dialect != "anthropic" or b"anthropic-version:" in self.lines.lower()
        self.version = b"" if versioned else VERSION_LINE  # where the caller names none
        secrets: tuple[model.Secret | None, ...] = provider.keys or (None,)
        self.credentials = [known.get(secret) or Credential(secret) for secret in secrets]
        for credential in self.credentials:
            self._equip(credential)

    def _equip(self, credential: Credential) -> None:
        """Give it what the provider wants to see of the key."""
        provider = self.provider
        secret = "" if credential.secret is None else credential.secret.reveal()
        credential.line = b""
        credential.signer = None
        if secret and provider.region:
            credential.signer = signing.Signer(secret, provider.region)
        elif secret:
            credential.line = f"{provider.key_header}: {provider.key_scheme}{secret}\r\n".encode("latin-1")

    def credential(self, tick: int, tried: list[Credential]) -> Credential | None:
        """The next in turn that has not been tried for the call, and does not rest."""
        count = len(self.credentials)
        for i in range(count):
            credential = self.credentials[(self.turn + i) % count]
            if credential.rests_until <= tick and credential not in tried:
                self.turn = (self.turn + i + 1) % count
                return credential
        return None


class Offer:
    """A candidate of a model: `number` is its model's in the call log, `line` says who served to the caller."""

    def __init__(self, candidate: model.Candidate, source: Source, number: int) -> None:
        self.candidate = candidate
        self.source = source
        self.number = number
        self.rank = candidate.rank
        self.line = f"X-Fastgw-Model: {candidate.provider}/{candidate.model}\r\n".encode("latin-1", "replace")


class Served:
    """A model as callers name it, and its offers, those that are asked first before the others."""

    def __init__(self, model: model.Model, offers: list[Offer]) -> None:
        self.model = model
        self.offers = sorted(offers, key=lambda offer: offer.rank)
        self.fallback_on = frozenset(model.fallback_on)


class Choices:
    """Who may still be asked for one call. `offer` and `credential` are who was chosen last."""

    def __init__(self, served: Served, offers: list[Offer]) -> None:
        """`offers` are those of them that have the endpoint, one at least."""
        self.served = served
        self.left = offers
        self.tried: list[Credential] = []  # with the offer that is asked now
        self.tries = 0
        self.offer = self.left[0]
        self.credential = self.offer.source.credentials[0]

    def next(self, tick: int) -> bool:
        """Choose; false where nobody is left. A candidate whose provider has another key is asked with that first."""
        while self.left and self.tries < TRIES_MAX:
            offer = self._first()
            credential = offer.source.credential(tick, self.tried)
            if credential is None:
                self.left.remove(offer)
                self.tried.clear()
                continue
            self.offer = offer
            self.credential = credential
            self.tried.append(credential)
            self.tries += 1
            return True
        return False

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
            self.left.remove(self.offer)
            self.tried.clear()

    def rest_s(self, tick: int, tick_ms: int) -> int:
        """How long until the first key of any of them has rested, in seconds rounded up; 0: none rests, or all are
        refused."""
        resting = [
            credential.rests_until - tick
            for offer in self.served.offers
            for credential in offer.source.credentials
            if credential.rests_until > tick and not credential.refused
        ]
        return -(-min(resting) * tick_ms // 1000) if resting else 0


class Models:
    """The models that one route leads to, by the names that callers use."""

    def __init__(self, base: bytes, dialect: str, served: Mapping[str, Served]) -> None:
        self.base = base  # of the paths of its endpoints
        self.dialect = dialect
        self.served = served
        # In lists, a model has its shorter name alone.
        self.names = [name for name, one in served.items() if one.model.listed or name.partition("/")[2] not in served]
        self.first = next(iter(served.values()), None)


class Sources:
    """All providers of a worker, by name."""

    def __init__(self) -> None:
        self.sources: dict[str, Source] = {}

    def set(self, config: model.Config, groups: Mapping[str, Group], segment: Segment) -> None:
        """Go by this configuration from now on; `groups` has the upstreams by name. The numbers of the models that
        serve must be in the segment already; without one, a call's record does not say who served it."""
        former = self.sources
        self.sources = {}
        for provider in config.providers:
            source = former.get(provider.name)
            if source is None:
                source = Source(provider, groups[provider.name])
            else:
                source.set(provider, groups[provider.name])
            self.sources[provider.name] = source
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
        return Models(base, route.dialect, served)

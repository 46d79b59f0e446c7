"""Decides what a name stands for now, and for how long: addresses, or the servers that SRV records tell.

Asks /etc/hosts first, and then the name servers of resolv.conf, with its search list and ndots, or those that were
configured. Never blocks the loop: dnspython does the asking, over UDP, or TCP where an answer does not fit.
"""

import asyncio
import os
from collections.abc import Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING

from msgspec import Struct

from ..addresses import split_listen
from .hosts import Hosts

if TYPE_CHECKING:
    from dns.asyncresolver import Resolver as Asker
    from dns.resolver import Answer

RESOLV_CONF = "/etc/resolv.conf"
HOSTS_TTL_S = 5.0
LIFETIME_S = 4.5  # of a question, however many servers are asked: an answer comes before the start stops waiting


class Unresolved(Exception):
    """There is no answer; the message is the reason, the predicate of a sentence about the name."""


class Service(Struct, frozen=True, order=True):
    """One SRV record (RFC 2782); `host` without the final dot."""

    priority: int
    host: str
    port: int
    weight: int


class Addresses(Struct, frozen=True):
    """What a name stands for: in the order in which they are to be tried, for so many seconds."""

    addresses: tuple[str, ...]
    ttl_s: float


class Services(Struct, frozen=True):
    """The SRV records of a name, in order; none where the service is decidedly not there."""

    services: tuple[Service, ...]
    ttl_s: float


class Resolver:
    """For one loop. `server` is "address:port" of a name server, "" for those of resolv.conf."""

    def __init__(self, server: str = "", hosts: Hosts | None = None, resolv_conf: str = RESOLV_CONF) -> None:
        self.server = server
        self.hosts = hosts or Hosts()
        self.resolv_conf = resolv_conf
        self._asker: Asker | None = None
        self._read_at = (0, 0)  # the file's time and inode

    async def addresses(self, name: str) -> Addresses:
        """Both families at once, those of IPv6 and IPv4 by turns (RFC 8305 §4). Raises Unresolved."""
        if local := self.hosts.addresses(name):
            return Addresses(interleaved(local), HOSTS_TTL_S)
        answers = await asyncio.gather(self._ask(name, "AAAA"), self._ask(name, "A"), return_exceptions=True)
        found: list[str] = []
        ttls: list[float] = []
        for answer in answers:
            if not isinstance(answer, BaseException):
                found += [record.address for record in answer]
                ttls.append(answer.chaining_result.minimum_ttl)
        if found:
            # A family that has not answered for once is not lost for long.
            complete = not any(isinstance(answer, Unresolved) and answer.args[1:] for answer in answers)
            return Addresses(interleaved(found), min(ttls) if complete else min(*ttls, HOSTS_TTL_S))
        raise min(
            (answer for answer in answers if isinstance(answer, BaseException)),
            key=lambda error: not error.args[1:],  # the one that may be another in a moment
        )

    async def services(self, name: str) -> Services:
        """Raises Unresolved."""
        answer = await self._ask(name, "SRV")
        services = sorted(
            Service(record.priority, record.target.to_text(omit_final_dot=True).lower(), record.port, record.weight)
            for record in answer
            if record.target.labels != (b"",)  # ".": there is no such service
        )
        return Services(tuple(services), answer.chaining_result.minimum_ttl)

    async def _ask(self, name: str, kind: str) -> "Answer":
        """Raises Unresolved; a second argument says that it may be answered another time."""
        import dns.exception
        import dns.resolver

        try:
            return await self._askers().resolve(name, kind, lifetime=LIFETIME_S, search=True)
        except dns.resolver.NXDOMAIN:
            raise Unresolved("there is no such name") from None
        except dns.resolver.NoAnswer:
            what = "SRV records" if kind == "SRV" else "address"
            raise Unresolved(f"the name has no {what}") from None
        except dns.resolver.NoResolverConfiguration as error:
            raise Unresolved(f"{self.resolv_conf} names no server ({error})", True) from None
        except dns.resolver.NoNameservers:
            raise Unresolved(f"{self._servers()} failed to answer", True) from None
        except dns.resolver.LifetimeTimeout:
            raise Unresolved(f"{self._servers()} did not answer within {LIFETIME_S:g} s", True) from None
        except (dns.exception.DNSException, OSError, ValueError) as error:
            raise Unresolved(f"{type(error).__name__}: {error}", True) from None

    def _servers(self) -> str:
        if self.server:
            return self.server
        known = [] if self._asker is None else [str(each) for each in self._asker.nameservers]
        return f"the name server{'s' if len(known) > 1 else ''} {', '.join(known)} of {self.resolv_conf}"

    def _askers(self) -> "Asker":
        """By resolv.conf as it is now."""
        from dns.asyncresolver import Resolver as Asker
        from dns.resolver import NoResolverConfiguration

        try:
            status = os.stat(self.resolv_conf)
            written = (status.st_mtime_ns, status.st_ino)
        except OSError:
            written = (0, 0)
        if self._asker is None or written != self._read_at:
            asker = Asker(configure=False)
            try:
                asker.read_resolv_conf(self.resolv_conf)
            except NoResolverConfiguration:
                if not self.server:
                    raise
            if self.server:
                host, asker.port = split_listen(self.server)
                asker.nameservers = [host]
            self._asker, self._read_at = asker, written
        return self._asker


def interleaved(addresses: Sequence[str]) -> tuple[str, ...]:
    """IPv6 first, then both families by turns; in the order of numbers, so that the same set is the same list."""
    ordered = sorted(map(ip_address, set(addresses)), key=lambda address: (address.version, int(address)))
    six = [str(address) for address in ordered if address.version == 6]
    four = [str(address) for address in ordered if address.version == 4]
    pairs = min(len(six), len(four))
    woven = [address for pair in zip(six, four, strict=False) for address in pair]
    return (*woven, *six[pairs:], *four[pairs:])

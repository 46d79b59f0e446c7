"""Decides what the roster is at any moment: what configuration, files, API, DNS and checks say, put together.

One thread of the keeper, with an event loop of its own. Whatever changes, all is put together anew, and the roster is
published if it is another than before; while a configuration is on its way to the workers, it waits for that.
"""

import asyncio
import ssl
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from msgspec.structs import replace

from ..model import Config, Upstream, UpstreamTls
from ..roster import Endpoint, Numbers, Roster
from ..upstream_tls import TlsFileError, context
from .by_hand import ByHand
from .health import AT_ONCE, Checking, Health
from .listing import Known, Listed, Server, listed, names_in, servers
from .resolver import Addresses, Resolver, Services
from .targets_file import LOOK_S, TargetsFile
from .watch import Watch

SETTLE_S = 5.0  # at most, for the first answers about what is new
STOP_S = 1.0
GATHER_S = 0.02  # in which changes that come together become one roster

T = TypeVar("T")


def say(message: str) -> None:
    """A line to whoever reads what the gateway says."""
    print(f"fastgw: {message}", file=sys.stderr, flush=True)


class Discovery:
    """`publish` is called in the discovery's own thread, with each roster that follows another.

    `former` is the roster that workers have now, of a keeper that came before. `resolver` makes the one that asks, by
    the setting.
    """

    def __init__(
        self,
        by_hand: ByHand,
        former: Roster,
        publish: Callable[[Roster], None],
        resolver: Callable[[str], Resolver] = Resolver,
    ) -> None:
        self.by_hand = by_hand
        self.roster = former
        self.config: Config | None = None
        self.listed: dict[str, tuple[Listed, ...]] = {}
        self.servers: dict[str, tuple[Server, ...]] = {}
        self.files: dict[str, TargetsFile] = {}
        self.hosts: dict[str, Watch[Addresses]] = {}
        self.services: dict[str, Watch[Services]] = {}
        self.checks: dict[tuple[str, str], Checking] = {}
        self._publish = publish
        self._make_resolver = resolver
        self._resolver = resolver("")
        self._contexts: dict[UpstreamTls, ssl.SSLContext | None] = {}
        self._before: tuple[Config | None, Roster] = (None, former)
        self._numbers = Numbers(former)
        self._inherited = set(former.upstreams)  # what has not been heard of since
        self._held = True  # rosters are not published one by one
        self._due = False
        self._changed = asyncio.Event()
        self._places = asyncio.Semaphore(AT_ONCE)
        self.known = Known(self._addresses_of, self._services_of)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True, name="discovery")

    # For other threads

    def start(self, config: Config) -> None:
        """Begin to find out; nothing is published before `release`."""
        self._thread.start()
        self.call(lambda: self._begin(config))

    def prepare(self, config: Config) -> None:
        """Go over to a configuration that is to be served; nothing is published before `release`."""
        self.call(lambda: self._begin(config))

    def settle(self, within_s: float = SETTLE_S) -> Roster:
        """The roster, as soon as there is a first answer about everything in it, or time is up."""
        return self._await(self._settle(within_s))

    def release(self, served: Roster | None) -> None:
        """The workers have this roster now: publish what follows it. None: they go on with the configuration and the
        roster before `prepare`, and so does this."""
        self.call(lambda: self._release(served))

    def refresh(self) -> None:
        """What has been said by hand is another than before."""
        self.call(self._put_together)

    def call(self, work: Callable[[], T]) -> T:
        """Do it in the thread that all of this belongs to."""

        async def now() -> T:
            return work()

        return self._await(now())

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(STOP_S)

    def _await(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    # The configuration

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        watching = self._loop.create_task(self._watch_files())
        self._loop.run_forever()
        for task in (left := asyncio.all_tasks(self._loop) | {watching}):
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.close()

    def _begin(self, config: Config) -> None:
        if not self._held:
            self._before = (self.config, self.roster)
        self._held = True
        self._go_over(config)

    def _go_over(self, config: Config) -> None:
        before, self.config = self.config, config
        if before is None or before.server.resolver != config.server.resolver:
            self._resolver = self._make_resolver(config.server.resolver)
            self._forget_names()
        former = {} if before is None else {upstream.name: upstream for upstream in before.upstreams}
        same = {upstream.name for upstream in config.upstreams if former.get(upstream.name) == upstream}
        for place in [place for place in self.checks if place[0] not in same]:
            self.checks.pop(place).stop()
        if before is not None:
            self._inherited &= same
        self._contexts.clear()
        self._mind_files()
        self._put_together()

    def _forget_names(self) -> None:
        for watch in self._watches():
            watch.stop()
        self.hosts.clear()
        self.services.clear()

    def _watches(self) -> list[Watch[Any]]:
        return [*self.hosts.values(), *self.services.values()]

    async def _settle(self, within_s: float) -> Roster:
        deadline = self._loop.time() + within_s
        while not self._complete():
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), max(0.0, deadline - self._loop.time()))
            except TimeoutError:
                break
        return self.roster

    def _complete(self) -> bool:
        """Whether everything has been asked for once."""
        return (
            not self._due
            and all(watch.asked for watch in self._watches())
            and not any(checking.health.is_new for checking in self.checks.values())
        )

    def _release(self, served: Roster | None) -> None:
        if served is None:
            config, self.roster = self._before
            if config is not None:
                self._go_over(config)
            served = self._before[1]
        self._held = False
        if self.roster.upstreams != served.upstreams:
            self._publish(self.roster)

    # Files

    def _mind_files(self) -> None:
        named = {upstream.targets_file for upstream in self._upstreams()} - {""}
        self.files = {path: self.files.get(path) or TargetsFile(path) for path in named}
        for file in self.files.values():
            if file.look(at_once=True):
                self._tell_file(file)

    async def _watch_files(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            for file in list(self.files.values()):
                if file.look():
                    self._tell_file(file)
                    self._change()

    # Putting together

    def _upstreams(self) -> tuple[Upstream, ...]:
        return () if self.config is None else self.config.upstreams

    def _change(self) -> None:
        """Something is another than before: put all together, once for all that has come until then."""
        if not self._due:
            self._due = True
            self._loop.call_later(GATHER_S, self._put_together)

    def _put_together(self) -> None:
        self._due = False
        upstreams = self._upstreams()
        self.listed = {upstream.name: self._listed(upstream) for upstream in upstreams}
        self._mind_names()
        self.servers = {
            upstream.name: servers(upstream, self.listed[upstream.name], self.known) for upstream in upstreams
        }
        made = {upstream.name: self._endpoints(upstream) for upstream in upstreams}
        self._mind_checks(made)
        after = self._numbers.give(made)
        if after.upstreams != self.roster.upstreams:
            for name, endpoints in made.items():
                if not endpoints and self.roster.upstreams.get(name):
                    say(f"upstream {name}: there are no servers of it any more; its calls are refused with 503")
            self.roster = after
            if not self._held:
                self._publish(after)
        self._changed.set()

    def _listed(self, upstream: Upstream) -> tuple[Listed, ...]:
        file = self.files.get(upstream.targets_file)
        of_file = (file.targets if file is not None else None) or ()
        name = upstream.name
        return listed(upstream, of_file, self.by_hand.added(name), self.by_hand.drained(name))

    def _mind_names(self) -> None:
        """Ask for the names that matter, and no others; SRV records bring further ones."""
        everything = [each for targets in self.listed.values() for each in targets]
        hosts, services = names_in(everything, self.known)
        for name in self.hosts.keys() - hosts:
            self.hosts.pop(name).stop()
        for name in self.services.keys() - services:
            self.services.pop(name).stop()
        for name in hosts - self.hosts.keys():
            self.hosts[name] = Watch(name, self._resolver.addresses, self._tell_host)
        for name in services - self.services.keys():
            self.services[name] = Watch(name, self._resolver.services, self._tell_services)

    def _addresses_of(self, name: str) -> Addresses | None:
        return self.hosts[name].answer if name in self.hosts else None

    def _services_of(self, name: str) -> Services | None:
        return self.services[name].answer if name in self.services else None

    def _endpoints(self, upstream: Upstream) -> tuple[Endpoint, ...]:
        """With what checks say of them. What a keeper before this one knew holds until all has been heard of."""
        name = upstream.name
        found = {server.endpoint.name: server.endpoint for server in self.servers[name]}
        if self._heard_of(upstream):
            self._inherited.discard(name)
        if name in self._inherited:
            for former in self.roster.upstreams.get(name, ()):
                found.setdefault(former.name, former)
        if upstream.health is None:
            return tuple(found.values())
        return tuple(replace(each, up=self._check(upstream, each)) for each in found.values())

    def _heard_of(self, upstream: Upstream) -> bool:
        """Whether its file has been read, and there is an answer about each of its names."""
        file = self.files.get(upstream.targets_file)
        hosts, services = names_in(self.listed[upstream.name], self.known)
        return (
            (file is None or file.targets is not None)
            and all(self._addresses_of(name) for name in hosts)
            and all(self._services_of(name) for name in services)
        )

    # Checks

    def _check(self, upstream: Upstream, endpoint: Endpoint) -> bool:
        """Have it checked; whether it is up by what is known."""
        assert upstream.health is not None
        place = (upstream.name, endpoint.name)
        checking = self.checks.get(place)
        bare = replace(endpoint, weight=1, up=True, number=0)
        if checking is None or checking.endpoint != bare:
            if checking is not None:
                checking.stop()
            former = {each.name: each for each in self.roster.upstreams.get(upstream.name, ())}.get(endpoint.name)
            health = Health(upstream.health, former is None or former.up, former is None)
            tell = self._tell_check_of(*place)
            checking = Checking(bare, health, self._context(upstream) if endpoint.tls else None, self._places, tell)
            self.checks[place] = checking
        return checking.health.up

    def _context(self, upstream: Upstream) -> ssl.SSLContext | None:
        tls = upstream.tls
        if tls not in self._contexts:
            try:
                self._contexts[tls] = context(tls)
            except TlsFileError as error:
                say(f"upstream {upstream.name}: its servers cannot be checked: tls.{error.field} {error}")
                self._contexts[tls] = None
        return self._contexts[tls]

    def _mind_checks(self, made: dict[str, tuple[Endpoint, ...]]) -> None:
        """Who is not there any more is not checked any more."""
        wanted = {(name, endpoint.name) for name, endpoints in made.items() for endpoint in endpoints}
        for place in [place for place in self.checks if place not in wanted]:
            self.checks.pop(place).stop()

    # What people are told

    def _tell_file(self, file: TargetsFile) -> None:
        for upstream in self._upstreams():
            if upstream.targets_file != file.path:
                continue
            if file.problem:
                known = file.targets is not None or upstream.name in self._inherited
                stay = "its targets stay as they were" if known else "it has no targets by it until that is put right"
                say(f"error: upstream {upstream.name}: {file.problem}; {stay}")
            else:
                count = len(file.targets or ())
                many = "no target" if count == 0 else "1 target" if count == 1 else f"{count} targets"
                say(f"upstream {upstream.name}: {file.path} has {many}")

    def _tell_host(self, name: str, was: str) -> None:
        self._tell_name(name, was, self.hosts[name], "addresses")

    def _tell_services(self, name: str, was: str) -> None:
        self._tell_name(name, was, self.services[name], "servers")

    def _tell_name(self, name: str, was: str, watch: Watch[Any], what: str) -> None:
        for upstream in self._users_of(name) if watch.problem or was else ():
            if not watch.problem:
                say(f"upstream {upstream}: {name} is resolved again")
            elif watch.answer is not None:
                say(f"upstream {upstream}: {name} cannot be resolved: {watch.problem}; its last {what} stay")
            else:
                say(
                    f"warning: upstream {upstream}: {name} cannot be resolved: {watch.problem}; no call goes there "
                    "until it can: correct the name, /etc/hosts, or which name server is asked (server.resolver)"
                )
        self._change()

    def _users_of(self, name: str) -> Iterator[str]:
        for upstream, targets in self.listed.items():
            hosts, services = names_in(targets, self.known)
            if name in hosts | services:
                yield upstream

    def _tell_check_of(self, upstream: str, server: str) -> Callable[[bool], None]:
        def tell(changes: bool) -> None:
            health = self.checks[upstream, server].health
            if changes:
                say(f"upstream {upstream}: {server} is " + ("up again" if health.up else f"down: {health.reason}"))
            self._change()

        return tell

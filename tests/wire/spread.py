"""Decides what an upstream of several servers looks like in these tests, and how calls to it are made."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from fastgw._targets import Targets, target_name

from .client import Answer, Client
from .configs import KEY
from .framing import request
from .oracle import Oracle, Script
from .rig import Gateway, Host

PRICE = 1_000_000  # nanos of a call to /v1/


@contextmanager
def oracles(many: int) -> Iterator[list[Oracle]]:
    """So many servers of their own; only strict HTTP/1.1 may have arrived at them."""
    with ExitStack() as stack:
        servers = [Oracle() for _ in range(many)]
        for server in servers:
            stack.callback(server.close)
        yield servers
        assert [problem for server in servers for problem in server.violations()] == []


def config(targets: list[int | str], upstream: str = "", server: str = "", route: str = "") -> str:
    """One upstream "many" with these targets (ports, or whole entries), and a priced route to it."""
    entries = ", ".join(f'"http://127.0.0.1:{each}"' if isinstance(each, int) else each for each in targets)
    return (
        f'[server]\n{server}\n[[upstreams]]\nname = "many"\ntargets = [{entries}]\n{upstream}\n'
        f'[[routes]]\nname = "api"\npath = "/v1/"\nupstream = "many"\nprice = "0.001"\n{route}\n'
        '[[routes]]\nname = "open"\npath = "/open/"\nupstream = "many"\nauth = "none"\n'
        f'[[accounts]]\nname = "rich"\nbalance = "1"\n[[keys]]\naccount = "rich"\nkey = "{KEY}"\n'
    )


def weighted(port: int, weight: int) -> str:
    return f'{{ url = "http://127.0.0.1:{port}", weight = {weight} }}'


def call(client: Client, name: str = "x", method: str = "GET", *fields: bytes, body: bytes = b"") -> Answer:
    """One call and its answer."""
    if body or method in ("POST", "PUT"):
        fields = (*fields, b"Content-Length: %d" % len(body))
    client.send(request(f"{method} /v1/{name} HTTP/1.1".encode(), *fields, body=body))
    return client.read(method)


def at_once(host: Host, many: int, name: str = "x", method: str = "GET") -> list[Answer]:
    """The answers to so many calls that are made at once, each on a connection of its own."""

    def one(_: int) -> Answer:
        with host.connect() as client:
            return call(client, name, method)

    with ThreadPoolExecutor(many) as pool:
        return list(pool.map(one, range(many)))


def counts(servers: list[Oracle]) -> list[int]:
    return [len(server.arrivals) for server in servers]


@contextmanager
def scripted(servers: list[Oracle], name: str, script: Script) -> Iterator[None]:
    """Have all of them answer requests with that name by the script."""
    for server in servers:
        server.scripts[name] = script
    try:
        yield
    finally:
        for server in servers:
            del server.scripts[name]


def seen(gateway: Gateway, port: int) -> dict[str, int]:
    """What the workers know of the server at that port."""
    return Targets(gateway.segment, -1).rows()[target_name("many", f"127.0.0.1:{port}")]

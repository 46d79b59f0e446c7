"""Decides how many client connections a worker has descriptors for."""

import resource
import sys

import msgspec

from .model import Config

SPARE = 32  # of the process itself


def raise_limit() -> None:
    """Let this process open as many files as it may at all."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (_most(), _most()))


def within_descriptors(config: Config) -> Config:
    """The configuration with no more client connections than the hard limit of open files leaves beside those to
    upstreams, which have half of it at most.

    A client beyond that gets an answer that says so; without a descriptor it could only be dropped.
    """
    server = config.server
    free = max(2, _most() - SPARE) if _most() != resource.RLIM_INFINITY else sys.maxsize
    clients = max(1, free - min(_upstream_connections(config), free // 2))
    if clients >= server.connections_max:
        return config
    return msgspec.structs.replace(config, server=msgspec.structs.replace(server, connections_max=clients))


def _upstream_connections(config: Config) -> int:
    """How many there may be at most; more than any number where a file or DNS says how many targets there are."""
    if any(upstream.targets_file or any(t.srv or t.expand for t in upstream.targets) for upstream in config.upstreams):
        return sys.maxsize
    return config.server.upstream_connections_max * sum(len(upstream.targets) for upstream in config.upstreams)


def descriptors_warning(config: Config) -> str:
    """What people are told of a limit that leaves less than half of the connections; "" where it does not."""
    wanted, possible = config.server.connections_max, within_descriptors(config).server.connections_max
    if possible >= wanted // 2:
        return ""
    return (
        f"a worker takes {possible} client connections, not connections_max = {wanted}: the limit of open files is "
        f"{_most()}; raise it (ulimit -Hn, LimitNOFILE= of systemd) or lower connections_max"
    )


def _most() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]

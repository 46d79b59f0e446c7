"""Decides what a contender keeps in memory: a worker at rest, a thousand idle connections, a million keys.

User-space memory as the kernel accounts for it. The kernel's own memory for sockets (a few kB each) is in
none of these figures: it is the same for all.
"""

import contextlib
import resource
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass

from cases import Case
from cpu import Memory, memory, shared_bytes, snapshot, tree
from field import Contender, Field
from load import PROBE_TIMEOUT_S, probe, read_answer
from peers import Peer

PEERS = ("fastgw", "nginx-lua", "nginx", "haproxy", "envoy")
KEYED = frozenset({"fastgw", "nginx-lua", "haproxy"})
IDLE_CONNECTIONS = 1000


@dataclass(frozen=True)
class Footprint:
    """Bytes. ``worker`` is the process that worked most while the idle connections made their one call;
    totals are sums of PSS over all processes of the contender."""

    peer: str
    processes: int
    worker_rss: int
    worker_pss: int
    worker_private: int
    total_pss: int
    per_1000_idle: int
    keys: int
    keys_total_pss: int
    keys_shared: int
    keys_ready_s: float
    faults: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def run_footprint(peers: list[Peer], field: Field, population: int, say: Callable[[str], None]) -> list[Footprint]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 4 * IDLE_CONNECTIONS:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4 * IDLE_CONNECTIONS), hard))
    results = []
    for peer in peers:
        try:
            results.append(_footprint(peer, field, population, say))
        except (RuntimeError, OSError) as error:
            say(f"memory: {peer.name} is out: {error}")
            results.append(Footprint(peer.name, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, (str(error),)))
    return results


def _total_pss(contender: Contender) -> int:
    return sum(memory(pid).pss for pid in tree(contender.process.pid))


def _footprint(peer: Peer, field: Field, population: int, say: Callable[[str], None]) -> Footprint:
    contender = field.start(peer)
    pids = tree(contender.process.pid)
    at_rest: dict[int, Memory] = {pid: memory(pid) for pid in pids}
    shared_at_rest = shared_bytes(pids)
    # One call first, so that what is made once (an upstream connection, a lazily loaded page) is not blamed
    # on the rest.
    probe(Case("proxy", "fresh"), contender.port("proxy"))
    before, spent = _total_pss(contender), snapshot(contender.process.pid)
    with contextlib.ExitStack() as stack:
        _open_idle(contender, stack)
        idle = _total_pss(contender) - before
        worked = snapshot(contender.process.pid)
    worker = at_rest[max(at_rest, key=lambda pid: worked.get(pid, 0) - spent.get(pid, 0))]
    contender.process.stop()
    loaded_pss = loaded_shared = 0
    ready_s = 0.0
    if peer.name in KEYED:
        loaded = field.start(peer, population)
        loaded_pids = tree(loaded.process.pid)
        loaded_pss = _total_pss(loaded) - sum(m.pss for m in at_rest.values())
        loaded_shared = shared_bytes(loaded_pids) - shared_at_rest
        ready_s = loaded.ready_s
        loaded.process.stop()
    say(
        f"memory {peer.name}: worker {worker.pss / 2**20:.1f} MiB PSS,"
        f" {idle / 2**20:.2f} MiB per {IDLE_CONNECTIONS} idle connections,"
        f" {loaded_pss / 2**20:.0f} MiB for {population:,} keys"
    )
    return Footprint(
        peer=peer.name,
        processes=len(pids),
        worker_rss=worker.rss,
        worker_pss=worker.pss,
        worker_private=worker.private,
        total_pss=sum(m.pss for m in at_rest.values()),
        per_1000_idle=idle,
        keys=population if peer.name in KEYED else 0,
        keys_total_pss=loaded_pss,
        keys_shared=loaded_shared,
        keys_ready_s=ready_s,
        faults=(),
    )


def _open_idle(contender: Contender, stack: contextlib.ExitStack) -> None:
    """A thousand connections that have each made one call and stay open."""
    case, port = Case("proxy", "fresh"), contender.port("proxy")
    for run in range(IDLE_CONNECTIONS):
        stream = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PROBE_TIMEOUT_S))
        stream.sendall(case.request(port, run))
        answer, _ = read_answer(stream)
        if answer.status != 200:
            raise RuntimeError(f"connection {run} was answered {answer.status}")

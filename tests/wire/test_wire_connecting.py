"""How a connection is made: to the quickest of several addresses, to a Unix socket, and without harm to any other."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
from ports import free_port

from fastgw.dataplane.connecting import NEXT_ADDRESS_S, Connector
from fastgw.roster import Endpoint

from .conftest import NewHost
from .framing import request
from .oracle import Oracle
from .rig import Gateway

Lasting = tuple[float, str]


def run(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


class Noted(asyncio.Protocol):
    """A protocol that notes where it has been connected to."""

    def __init__(self) -> None:
        self.address = ""

    def connection_made(self, transport: Any) -> None:
        self.address = transport.get_extra_info("peername")[0]
        transport.abort()


def connector(port: int, *addresses: str) -> Connector:
    endpoint = Endpoint("here", addresses, port, "", "here", False, "")
    return Connector(asyncio.get_running_loop(), "upstream", endpoint, None)


async def connected(to: Connector) -> Lasting:
    """How long it took, and where to. What others do on the machine can only make it longer: see `soonest`."""
    began = time.monotonic()
    protocol = Noted()
    await to.connect(lambda: protocol)
    return time.monotonic() - began, protocol.address


async def soonest(make: Callable[[], Connector]) -> Lasting:
    """The shortest of some times: of a wait that belongs to it, no try is free."""
    return min([await connected(make()) for _ in range(3)])


@contextlib.contextmanager
def listening(port: int, *addresses: str) -> Iterator[int]:
    with contextlib.ExitStack() as stack:
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            port = stack.enter_context(socket.create_server((address, port), family=family, backlog=64)).getsockname()[
                1
            ]
        yield port


@contextlib.contextmanager
def silent(port: int, address: str) -> Iterator[None]:
    """A queue that is full: connecting neither succeeds nor fails."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(socket.create_server((address, port), backlog=0))
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex((address, port))
        yield


def test_an_address_that_does_not_answer_costs_a_moment_and_only_once() -> None:
    async def work() -> None:
        with listening(0, "127.0.0.1") as port, silent(port, "127.0.0.2"):
            to = connector(port, "127.0.0.2", "127.0.0.1")
            took, address = await connected(to)
            assert (address, NEXT_ADDRESS_S <= took < 8 * NEXT_ADDRESS_S) == ("127.0.0.1", True)
            took, address = await soonest(lambda: to)
            assert (address, took < NEXT_ADDRESS_S) == ("127.0.0.1", True)

    run(work())


def test_an_address_that_refuses_costs_nothing() -> None:
    async def work() -> None:
        with listening(0, "127.0.0.3") as port:
            took, address = await soonest(lambda: connector(port, "127.0.0.1", "127.0.0.2", "127.0.0.3"))
            assert (address, took < NEXT_ADDRESS_S) == ("127.0.0.3", True)

    run(work())


def test_families_take_turns() -> None:
    """IPv6 first where it is named first; one family that is broken as a whole does not hold up the other."""

    async def work() -> None:
        with listening(0, "::1", "127.0.0.9") as port:
            assert (await connected(connector(port, "::1", "127.0.0.9")))[1] == "::1"
            assert (await connected(connector(port, "127.0.0.9", "::1")))[1] == "127.0.0.9"
        with listening(0, "127.0.0.9") as port:
            assert (await connected(connector(port, "::1", "127.0.0.9")))[1] == "127.0.0.9"
            with silent(port, "127.0.0.4"), silent(port, "127.0.0.5"):
                took, address = await connected(connector(port, "127.0.0.4", "127.0.0.5", "127.0.0.9"))
                assert (address, took < 8 * NEXT_ADDRESS_S) == ("127.0.0.9", True)

    run(work())


def test_when_all_refuse_it_is_one_error() -> None:
    async def work() -> None:
        with pytest.raises(OSError, match="failed"):
            await connected(connector(free_port(), "127.0.0.1", "127.0.0.2"))

    run(work())


def test_connecting_that_is_given_up_at_any_moment_closes_no_descriptor_of_another() -> None:
    """uvloop before 0.23 closed that of a stranger, and this one's own is not left open (uvloop issue 738)."""

    async def work() -> None:
        loop = asyncio.get_running_loop()
        with listening(0, "127.0.0.1", "127.0.0.2") as port:
            open_before = len(os.listdir("/proc/self/fd"))
            for turn in range(300):
                to = connector(port, *(("127.0.0.1", "127.0.0.2") if turn % 2 else ("127.0.0.1",)))
                task = loop.create_task(connected(to))
                for _ in range(turn % 15):
                    await asyncio.sleep(0)
                task.cancel()
                strangers = [os.memfd_create("stranger") for _ in range(4)]
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                for _ in range(3):
                    await asyncio.sleep(0)
                for stranger in strangers:
                    assert os.readlink(f"/proc/self/fd/{stranger}") == "/memfd:stranger (deleted)"
                    os.close(stranger)
            await asyncio.sleep(0.05)
            assert len(os.listdir("/proc/self/fd")) <= open_before + 8

    run(work())


def test_a_connection_that_is_ended_as_it_is_made_closes_no_descriptor_of_another() -> None:
    """As one is that nobody wants any more; uvloop 0.23 leaves the descriptor to be closed again by its first owner."""

    async def work() -> None:
        with listening(0, "127.0.0.2") as port:
            for _ in range(20):
                await connected(connector(port, "127.0.0.1", "127.0.0.2"))
                strangers = [os.memfd_create("stranger") for _ in range(4)]
                await asyncio.sleep(0.001)
                gc.collect(1)  # what is young: all else takes half a second among all tests
                for stranger in strangers:
                    os.close(stranger)  # EBADF where somebody else has

    run(work())


def unix_config(path: Path) -> str:
    return (
        '[server]\nconnect_timeout = "500ms"\n'
        f'[[upstreams]]\nname = "near"\ntargets = ["unix:{path}"]\nejection = false\n'
        '[[routes]]\nname = "api"\npath = "/v1/"\nupstream = "near"\nprice = "0.001"\n'
        '[[accounts]]\nname = "rich"\nbalance = "1"\n[[keys]]\naccount = "rich"\nkey = "sk-wire-rich-0001"\n'
    )


def test_a_target_may_be_a_Unix_socket(terms: Gateway, new_host: NewHost, tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    before = terms.captured("rich")
    host = new_host(unix_config(path))

    def call() -> int:
        with host.connect() as client:
            client.send(request(b"POST /v1/x HTTP/1.1", b"Content-Length: 3", body=b"abc"))
            return client.read().status

    assert call() == 502  # there is none
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(64)
    with Oracle(listener=listener) as oracle:
        assert [call() for _ in range(3)] == [200, 200, 200]
        assert [arrival.one("host") for arrival in oracle.arrivals] == ["localhost"] * 3
        assert oracle.connections == 1
        assert oracle.violations() == []
    assert terms.captured("rich") == before + 3_000_000


def test_a_Unix_socket_that_is_full_is_waited_for_like_any_other(new_host: NewHost, tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(path))
        listener.listen(0)
        filler = stack.enter_context(socket.socket(socket.AF_UNIX))
        filler.connect(str(path))
        client = stack.enter_context(new_host(unix_config(path)).connect())
        client.send(request(b"GET /v1/x HTTP/1.1"))
        answer = client.read()
        assert (answer.status, b"upstream_connect_timeout" in answer.body) == (504, True)
        client.send(request(b"GET /v1/x HTTP/1.1"))
        assert client.is_silent(0.1)
        listener.accept()[0].close()

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        assert client.read().status == 204
        thread.join()

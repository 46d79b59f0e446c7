"""Clients that wait to be accepted: newcomers are not forgotten beside who is there, and no queue outlasts patience."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from fastgw.dataplane import backlog as backlog_module
from fastgw.dataplane.backlog import Backlog
from fastgw.dataplane.doors import Acceptor
from fastgw.instance import BACKLOG

LEAST = 32


@contextmanager
def waiting(many: int) -> Iterator[socket.socket]:
    """A socket before which so many clients wait."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=BACKLOG))
        listening.setblocking(False)
        for _ in range(many):
            stack.enter_context(socket.create_connection(listening.getsockname()))
        yield listening


def queue(listening: socket.socket) -> tuple[int, int]:
    """Who waits, and how many may (tcp(7): tcpi_unacked and tcpi_sacked)."""
    now, most = struct.unpack("=24xII", listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32))
    return now, most


async def until(listening: socket.socket, most: int) -> None:
    async with asyncio.timeout(5):
        while queue(listening)[1] != most:
            await asyncio.sleep(0.005)


def test_where_more_come_than_are_served_few_may_wait_and_many_again_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backlog_module, "LATE_S", 0.02)
    monkeypatch.setattr(backlog_module, "LEAST", LEAST)

    async def look(listening: socket.socket) -> None:
        backlog = Backlog(asyncio.get_running_loop(), listening)
        _, full = queue(listening)
        backlog.left_some()
        await until(listening, LEAST)
        assert queue(listening)[0] == 2 * LEAST  # who waits already is not turned away
        for _ in range(2 * LEAST):
            listening.accept()[0].close()
        backlog.accepted += 2 * LEAST
        await until(listening, full)
        async with asyncio.timeout(5):
            while backlog.timer is not None:
                await asyncio.sleep(0.005)
        backlog._set(LEAST)
        backlog.close()
        assert queue(listening)[1] == full

    with waiting(2 * LEAST) as listening:
        asyncio.run(look(listening))


def test_a_turn_accepts_as_many_as_are_in_proportion_to_those_there_unless_turns_are_slow() -> None:
    async def look(listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        plane: Any = SimpleNamespace(loop=loop, clients=set(range(400)), bounds=SimpleNamespace(connections_max=1_000))
        door: Any = SimpleNamespace(plane=plane, listener=SimpleNamespace(proxy_protocol=False))
        acceptor = Acceptor(door, listening)
        loop.remove_reader(listening.fileno())
        taken: list[socket.socket] = []
        acceptor.start = lambda client, _told=None: taken.append(client)  # type: ignore[method-assign,assignment,return-value]
        for turn_s, expected in ((60, 25), (0.01, 100), (0.2, 25)):
            taken.clear()
            acceptor.left_at = loop.time() - turn_s
            acceptor.accept()
            for client in taken:
                client.close()
            assert len(taken) == expected
        loop.add_reader(listening.fileno(), acceptor.accept)
        acceptor.close()

    with waiting(200) as listening:
        asyncio.run(look(listening))

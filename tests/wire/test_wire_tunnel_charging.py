"""A tunnel costs what its route says for the connection, for each minute begun and for every byte, to the nano; what
pays for it is held before, and where there is none it ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from fastgw.refusals import Refusal
from fastgw.states import AccountStatus, KeyStatus

from .client import Client
from .rig import eventually
from .tunnelling import SLOTS, SWITCHING, Accepted, Account, Stand, close_frame

MIB = 1 << 20
PRICE, MINUTE, MIB_PRICE = 1_000_000, 10_000_000, 100_000_000  # nanos, of /all/
STEP = MIB_PRICE // 16  # of the 64 KiB that are held ahead
TEXT = b"\x81\x02hi"


def of_bytes(count: int, price: int = MIB_PRICE) -> int:
    return -(-count * price // MIB)


def end(client: Client, upstream: Accepted) -> None:
    client.socket.close()
    assert upstream.is_ended()
    upstream.socket.close()


def closed_with(client: Client) -> tuple[int, str]:
    """What the gateway has said when it closed the WebSocket."""
    data = b""
    while part := client.socket.recv(65536):
        data += part
    return close_frame(client.buffer + data)


# What it costs


@pytest.mark.parametrize(("seconds", "minutes"), [(0, 1), (40, 1), (61, 2), (100, 2), (181, 4)])
def test_every_minute_begun_counts_and_every_byte(tunnels: Stand, seconds: int, minutes: int) -> None:
    account = tunnels.account()
    with tunnels.row() as rows:
        client, upstream = tunnels.open(account, "/all/x")
        tunnels.pass_time(seconds)
        client.send(TEXT * 100)
        assert upstream.exactly(400) == TEXT * 100
        upstream.send(TEXT)
        assert client.exactly(4) == TEXT
        end(client, upstream)
    cost = PRICE + minutes * MINUTE + of_bytes(404)
    assert (rows[0].status, rows[0].verdict, rows[0].cost) == (101, Refusal.ADMITTED, cost)
    assert account.captured() == cost


def test_bytes_are_rounded_once_for_all_of_them(tunnels: Stand) -> None:
    account = tunnels.account()
    client, upstream = tunnels.open(account, "/all/x")
    total = 0
    for turn, size in enumerate((1, 7, 65_536, 65_537, 300_001)):
        far, near = (upstream, client) if turn & 1 else (client, upstream)
        far.send(b"x" * size)
        near.exactly(size)
        total += size
        assert PRICE + MINUTE + of_bytes(total) <= account.held <= PRICE + MINUTE + of_bytes(total + 65_536)
    end(client, upstream)
    assert account.captured() == PRICE + MINUTE + of_bytes(total)


def test_the_upstream_may_name_what_the_connection_costs(tunnels: Stand) -> None:
    account = tunnels.account()
    for named, price in ((b"0.0004", 400_000), (b"0.5", PRICE), (b"0", 0), (b"much", PRICE)):
        head = SWITCHING[:-2] + b"X-Cost: %b\r\n\r\n" % named
        before = account.captured()
        end(*tunnels.open(account, "/all/x", head))
        assert account.captured() - before == price + MINUTE


@pytest.mark.parametrize(("status", "path", "cost"), [
    (404, "/all/x", PRICE), (500, "/all/x", 0), (403, "/served/x", 0), (200, "/served/x", PRICE), (101, "/served/x",
                                                                                            PRICE + MINUTE),
])  # fmt: skip
def test_what_opens_no_tunnel_costs_what_any_call_does(tunnels: Stand, status: int, path: str, cost: int) -> None:
    account = tunnels.account()
    with tunnels.row() as rows, tunnels.connect() as client:
        client.send(account.request(path))
        with tunnels.puppet.accept() as upstream:
            upstream.until(b"\r\n\r\n")
            assert account.held == PRICE + MINUTE + (STEP if "all" in path else 0)
            if status == 101:
                upstream.send(SWITCHING)
            else:
                upstream.send(b"HTTP/1.1 %d Whatever\r\nContent-Length: 0\r\n\r\n" % status)
            assert client.read_next().status == status
    assert (rows[0].status, rows[0].cost, account.captured()) == (status, cost, cost)


def test_paid_time_is_not_cut_by_the_limit_for_stuck_calls(tunnels: Stand) -> None:
    account = tunnels.account()
    client, upstream = tunnels.open(account, "/all/x")
    tunnels.pass_time(3010)
    client.send(TEXT)
    assert upstream.exactly(4) == TEXT
    end(client, upstream)
    assert account.captured() == PRICE + 51 * MINUTE + of_bytes(4)


def test_one_that_is_not_answered_is(tunnels: Stand) -> None:
    account = tunnels.account()
    with tunnels.connect() as client:
        client.send(account.request("/all/x"))
        with tunnels.puppet.accept() as upstream:
            upstream.until(b"\r\n\r\n")
            tunnels.pass_time(901)
            assert client.read().status == 504
    assert account.captured() == 0


# Where there is no money


@pytest.mark.parametrize("money", [0, PRICE - 1, PRICE, PRICE + MINUTE + STEP - 1])
def test_who_cannot_pay_for_the_first_minute_does_not_reach_the_upstream(tunnels: Stand, money: int) -> None:
    account = tunnels.account(money)
    with tunnels.connect() as client:
        with tunnels.row() as rows:
            client.send(account.request("/all/x"))
            answer = client.read()
            assert answer.status == 402
            assert b'"code":"insufficient_balance"' in answer.body
            assert tunnels.puppet.is_left_alone()
        client.send(account.request("/free/refused"))  # the connection is as good as ever
        assert client.read().status == 403
    assert (rows[0].status, rows[0].verdict, rows[0].cost) == (402, Refusal.INSUFFICIENT_BALANCE, 0)
    assert account.captured() == 0


def test_a_tunnel_ends_with_the_minute_that_is_the_last_one_paid(tunnels: Stand) -> None:
    account = tunnels.account(PRICE + 2 * MINUTE + STEP + MINUTE - 1)
    client, upstream = tunnels.open(account, "/all/x")
    with client, upstream, tunnels.row() as rows:
        tunnels.pass_time(90)
        client.send(TEXT)
        assert upstream.exactly(4) == TEXT
        tunnels.pass_time(31)
        assert closed_with(client) == (1008, "insufficient_balance")
        assert closed_with(upstream) == (1008, "insufficient_balance")
    assert rows[0].verdict is Refusal.INSUFFICIENT_BALANCE
    assert account.captured() == rows[0].cost == PRICE + 2 * MINUTE + of_bytes(4)


def test_a_top_up_in_time_lets_it_go_on(tunnels: Stand) -> None:
    account = tunnels.account(PRICE + MINUTE + STEP)
    client, upstream = tunnels.open(account, "/all/x")
    tunnels.pass_time(40)
    account.grant(PRICE + 2 * MINUTE + STEP)
    tunnels.pass_time(30)
    client.send(TEXT)
    assert upstream.exactly(4) == TEXT
    end(client, upstream)
    assert account.captured() == PRICE + 2 * MINUTE + of_bytes(4)


def test_bytes_that_are_not_paid_do_not_pass(tunnels: Stand) -> None:
    account = tunnels.account(PRICE + MINUTE + of_bytes(100_000))
    client, upstream = tunnels.open(account, "/all/x")
    with client, upstream, tunnels.row() as rows:
        client.send(b"\x82\x7e\xff\xff" + b"x" * 65_535)
        upstream.exactly(65_539)
        client.send(b"\x82\x7e\x86\x99" + b"x" * 34_457)  # 100,000 bytes: held for to the last
        upstream.exactly(34_461)
        upstream.send(b"\x82\x00")
        assert closed_with(upstream) == (1008, "insufficient_balance")
        assert closed_with(client) == (1008, "insufficient_balance")
    assert rows[0].verdict is Refusal.INSUFFICIENT_BALANCE
    assert account.captured() == PRICE + MINUTE + of_bytes(100_000)


@pytest.mark.parametrize("path", ["/all/x", "/puppet/x"])
def test_a_revoked_key_and_a_suspended_account_end_their_tunnels_within_a_minute(tunnels: Stand, path: str) -> None:
    for spoil, reason in ((revoke, "revoked_key"), (suspend, "account_suspended")):
        account = tunnels.account()
        client, upstream = tunnels.open(account, path)
        with client, upstream:
            spoil(account)
            tunnels.pass_time(61)
            assert closed_with(client) == (1008, reason)
            assert closed_with(upstream) == (1008, reason)
        assert account.captured() == (PRICE + MINUTE if path == "/all/x" else 0)


def revoke(account: Account) -> None:
    account.stand.segment.set_key(account.key_index, account.index, 0, KeyStatus.REVOKED, 0)


def suspend(account: Account) -> None:
    account.stand.segment.set_terms(account.index, status=AccountStatus.SUSPENDED)


def test_a_ledger_that_cannot_write_is_told_from_an_empty_purse(tunnels: Stand) -> None:
    account = tunnels.account()
    client, upstream = tunnels.open(account, "/all/x")
    with client, upstream:
        tunnels.segment.stop_money(True)
        tunnels.pass_time(61)
        tunnels.segment.stop_money(False)
        assert closed_with(client) == (1013, "ledger_unavailable")
        assert closed_with(upstream) == (1013, "ledger_unavailable")
    assert account.captured() == PRICE + MINUTE


# Many at once


def test_fifty_tunnels_share_the_minutes_of_one_account(tunnels: Stand) -> None:
    """Money for 50 connections and 170 minutes: three for everyone, and twenty fourth ones."""
    account = tunnels.account(50 * PRICE + 170 * MINUTE)
    codes: Counter[tuple[int, str]] = Counter()

    async def one(opened: asyncio.Barrier) -> None:
        async with connect(account.url("/minutes/x"), additional_headers=account.headers) as ws:
            await ws.send("hi")
            assert await ws.recv() == "hi"
            await opened.wait()
            with pytest.raises(ConnectionClosed):
                await ws.recv()
            assert ws.close_code is not None
            codes[ws.close_code, ws.close_reason or ""] += 1

    async def everyone() -> None:
        opened = asyncio.Barrier(51)
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            for _ in range(50):
                group.create_task(one(opened))
            await opened.wait()
            for passed, left in ((60, 50), (60, 50), (60, 20), (60, 0)):
                await asyncio.to_thread(tunnels.pass_time, passed)
                assert tunnels.tunnels == left
                assert account.held <= 50 * PRICE + 170 * MINUTE

    asyncio.run(everyone())
    assert account.captured() == 50 * PRICE + 170 * MINUTE
    assert sum(codes.values()) == 50
    assert set(codes) <= {(1008, "insufficient_balance"), (1013, "balance_held")}


def test_fifty_tunnels_spend_one_account_to_the_byte(tunnels: Stand) -> None:
    """They talk until it is empty: what has passed is what was charged, and it is not more than there was."""
    price = 1_000_000  # of a MiB, as /bytes/ has it
    money = 20 * price
    account = tunnels.account(money)
    first = tunnels.written
    echoed = [0]

    async def one(started: asyncio.Barrier) -> None:
        async with connect(account.url("/bytes/x"), additional_headers=account.headers, compression=None) as ws:
            await started.wait()
            with suppress(ConnectionClosed):
                while True:
                    await ws.send(b"x" * 16_000)
                    echoed[0] += len(await ws.recv())
            assert ws.close_code in (1008, 1013, 1006)

    async def everyone() -> None:
        started = asyncio.Barrier(50)
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            for _ in range(50):
                group.create_task(one(started))

    asyncio.run(everyone())
    assert eventually(lambda: tunnels.written == first + 50)
    rows = tunnels.rows(first)
    assert account.captured() == sum(row.cost for row in rows) <= money
    assert money - account.captured() < of_bytes(2 * 16_100 + 1, price), "there was money for more"
    passed = sum(row.bytes_in + row.bytes_out for row in rows)
    assert 2 * echoed[0] < passed
    assert {row.verdict for row in rows} <= {Refusal.INSUFFICIENT_BALANCE, Refusal.BALANCE_HELD}
    assert Refusal.INSUFFICIENT_BALANCE in {row.verdict for row in rows}


# At a kill


def test_a_killed_worker_s_tunnels_are_charged_for_what_was_noted(tunnels: Stand) -> None:
    """The rest of what they held is given back; a call that was no tunnel yet is charged nothing."""
    with tunnels.beside() as other:
        account = other.account()
        ends = [other.open(account, "/all/x") for _ in range(3)]
        other.pass_time(130)
        assert account.held == 3 * (PRICE + 3 * MINUTE + STEP)
        end(*ends.pop())
        assert eventually(lambda: account.held == 2 * (PRICE + 3 * MINUTE + STEP))
        asking = other.connect()
        asking.send(account.request("/all/x"))
        ends.append((asking, other.puppet.accept()))
        client, upstream = ends[0]
        for sent in (65_536, 1000, 1):  # of which the first are noted; no note is made of so few as the others
            client.send(b"x" * sent)
            upstream.exactly(sent)
        assert eventually(lambda: account.held == 3 * (PRICE + STEP) + 7 * MINUTE + of_bytes(66_536 + 65_536) - STEP)
        first = other.written
        other.host.kill()
        for client, upstream in ends:
            client.socket.close()
            upstream.socket.close()
        for _ in range(2):  # once, however often it is recovered
            tunnels.segment.recover(SLOTS[1])
            assert account.captured() == 3 * (PRICE + 3 * MINUTE) + of_bytes(65_536)
            rows = other.rows(first)
            assert [(row.status, row.verdict) for row in rows] == [(101, Refusal.WORKER_DIED)] * 2
            assert [row.cost for row in rows] == [PRICE + 3 * MINUTE + of_bytes(65_536), PRICE + 3 * MINUTE]
            assert rows[0].bytes_in > 65_536 > rows[1].bytes_in

"""A connection that goes over to another protocol carries every byte of both sides, as it comes, until either ends it,
it is silent for too long, or the worker must end; and no request is ever made out of what is not one."""

from __future__ import annotations

import asyncio
import hashlib
import struct
import threading

import pytest
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from fastgw.refusals import Refusal

from .client import Client
from .rig import eventually, more_than_buffered, stopped
from .tunnelling import HANDSHAKE, SWITCHING, Accepted, Account, Stand, close_frame

HOUR_S = 3600
TEXT = b"\x81\x02hi"  # a whole frame
FULL = struct.pack("!BBQ", 0x82, 127, 1 << 40)  # the head of one that never ends


@pytest.fixture
def account(tunnels: Stand) -> Account:
    return tunnels.account()


def ended(client: Client) -> bool:
    """Whether the connection is over; a reset is no end."""
    try:
        return client.is_ended()
    except ConnectionResetError:
        return False


def reset(client: Client) -> bool:
    """Whether the connection was reset, whatever came before that."""
    try:
        while client.socket.recv(262144):
            pass
    except ConnectionResetError:
        return True
    return False


# WebSockets


def test_a_websocket_says_what_it_is_told(tunnels: Stand, account: Account) -> None:
    large = bytes(range(256)) * 4096  # 1 MiB
    with (
        tunnels.row() as rows,
        connect(account.url("/free/x"), additional_headers=account.headers, compression=None, max_size=None) as ws,
    ):
        for message in ("hi", "", b"\0" * 125, b"1" * 126, "ü" * 65536, large):
            ws.send(message)
            assert ws.recv() == message
        ws.send(["frag", "men", "ted"])
        assert ws.recv() == "fragmented"
        assert ws.ping().wait(10)
        assert tunnels.gauges() == (1, 1, 1, 1)
        ws.close(4321, "enough")
        assert (ws.close_code, ws.close_reason) == (4321, "enough")
    [row] = rows
    assert (row.status, row.verdict, row.cost) == (101, Refusal.ADMITTED, 0)
    assert min(row.bytes_in, row.bytes_out) > len(large) + 2 * 65536
    assert ws.response is not None
    [fields] = tunnels.service.heads
    assert (fields["Upgrade"], fields["Connection"]) == ("websocket", "Upgrade")
    assert "Authorization" not in fields
    assert fields["X-Request-Id"] == ws.response.headers["X-Request-Id"]
    assert (ws.response.headers["Upgrade"], ws.response.headers["Connection"]) == ("websocket", "Upgrade")
    assert ws.response.headers["Via"] == "1.1 fastgw"


def test_the_service_closes_with_a_code_of_its_own(account: Account) -> None:
    with connect(account.url("/free/x"), additional_headers=account.headers) as ws:
        ws.send("close 4999")
        with pytest.raises(ConnectionClosed):
            ws.recv()
        assert (ws.close_code, ws.close_reason) == (4999, "as you wish")


def test_two_hundred_at_once_say_what_each_is_told(tunnels: Stand, account: Account) -> None:
    most = 0

    async def one(number: int, all_open: asyncio.Barrier) -> None:
        nonlocal most
        async with connect_async(account.url("/free/x"), additional_headers=account.headers) as ws:
            await all_open.wait()
            most = max(most, tunnels.tunnels)
            for turn in range(3):
                await ws.send(f"{number} {turn}" * 50)
                assert await ws.recv() == f"{number} {turn}" * 50
            await all_open.wait()

    async def everyone() -> None:
        all_open = asyncio.Barrier(200)
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            for number in range(200):
                group.create_task(one(number, all_open))

    asyncio.run(everyone())
    assert most == 200


# What opens a tunnel


def test_a_refusal_of_the_upstream_is_an_answer_like_any_other(tunnels: Stand, account: Account) -> None:
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(account.url("/free/refused"), additional_headers=account.headers),
    ):
        pass
    assert (refused.value.response.status_code, refused.value.response.body) == (403, b"not you\n")
    with tunnels.connect() as client:
        client.send(account.request("/puppet/x"))
        upstream = tunnels.puppet.accept()
        upstream.until(b"\r\n\r\n")
        upstream.send(b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: foo\r\nContent-Length: 2\r\n\r\nno")
        answer = client.read()
        assert (answer.status, answer.body, answer.all("upgrade")) == (426, b"no", [])
        client.send(account.request("/puppet/y", b"X-A: b"))  # on the same connections
        assert upstream.until(b"\r\n\r\n").startswith(b"GET /puppet/y ")
        upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        assert client.read().body == b"ok"


@pytest.mark.parametrize(
    ("lines", "asked"),
    [
        (HANDSHAKE, b"websocket"),
        ((b"connection: keep-alive, UPGRADE", b"upgrade: WebSocket"), b"WebSocket"),
        ((b"Connection: Upgrade", b"Upgrade: foo, tcp ,h2c", b"Upgrade: irc/6.9"), b"tcp, irc/6.9"),
        ((b"Connection: Upgrade", b"Upgrade: websocket", b"Content-Length: 0"), b"websocket"),
        ((b"Connection: Upgrade", b"Upgrade: h2c"), b""),
        ((b"Connection: Upgrade", b"Upgrade: websocket/13"), b""),
        ((b"Upgrade: websocket",), b""),
        ((b"Connection: keep-alive", b"Upgrade: websocket"), b""),
        ((b"Connection: upgrade",), b""),
    ],
)
def test_what_is_asked_is_what_the_client_names_and_the_route_allows(
    tunnels: Stand, account: Account, lines: tuple[bytes, ...], asked: bytes
) -> None:
    with tunnels.connect() as client:
        client.send(account.request("/puppet/x", *lines))
        with tunnels.puppet.accept() as upstream:
            head = upstream.until(b"\r\n\r\n").lower()
            assert head.count(b"upgrade") == (2 if asked else 0)
            if asked:
                assert b"\r\nconnection: upgrade\r\nupgrade: %b\r\n" % asked.lower() in head
            upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            assert client.read().status == 200


@pytest.mark.parametrize("path", ["/plain/x", "/puppet/old"])
def test_a_route_without_upgrades_and_a_client_of_1_0_have_none(tunnels: Stand, account: Account, path: str) -> None:
    request = account.request(path)
    with tunnels.connect() as client:
        client.send(request.replace(b"HTTP/1.1", b"HTTP/1.0") if "old" in path else request)
        with tunnels.puppet.accept() as upstream:
            assert b"Upgrade" not in upstream.until(b"\r\n\r\n")
            upstream.send(SWITCHING)
            answer = client.read()
            assert (answer.status, upstream.is_ended()) == (502, True)


@pytest.mark.parametrize("asked", [b"tcp", b"foo", b"websocket"])
@pytest.mark.parametrize(
    "answered", [b"", b"Upgrade: h2c\r\n", b"Upgrade: websocket, tcp\r\n", b"Upgrade: tcp\r\nUpgrade: tcp\r\n"]
)
def test_a_101_to_anything_else_is_a_failure(tunnels: Stand, account: Account, asked: bytes, answered: bytes) -> None:
    with tunnels.connect() as client:
        client.send(account.request("/puppet/x", b"Connection: Upgrade", b"Upgrade: " + asked))
        with tunnels.puppet.accept() as upstream:
            upstream.until(b"\r\n\r\n")
            upstream.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n" + answered + b"\r\nGET / ")
            answer = client.read()
            assert (answer.status, answer.one("x-should-retry")) == (502, "false")


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_is_a_body_whatever_the_request_says_of_upgrade(
    tunnels: Stand, account: Account, protocol: bytes, framing: str
) -> None:
    """P7: what lies behind such a head must not become a request, nor be taken for a tunnel's."""
    inner = b"GET /puppet/evil HTTP/1.1\r\nHost: wire\r\n\r\n"
    lines = [b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: " + protocol, b"HTTP2-Settings: AAMAAABk"]
    if framing == "length":
        lines, body = [*lines, b"Content-Length: %d" % len(inner)], inner
    else:
        lines, body = [*lines, b"Transfer-Encoding: chunked"], b"%x\r\n%b\r\n0\r\n\r\n" % (len(inner), inner)
    post = account.request("/puppet/post", *lines).replace(b"GET", b"POST", 1)
    with tunnels.connect() as client:
        client.send(post + body + account.request("/puppet/get", b"X-A: b"))
        with tunnels.puppet.accept() as upstream:
            head = upstream.until(b"\r\n\r\n")
            assert head.startswith(b"POST /puppet/post ")
            assert b"upgrade" not in head.lower()
            assert b"http2-settings" not in head.lower()
            assert upstream.exactly(len(body)) == body
            upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npost")
            assert client.read().body == b"post"
            assert upstream.until(b"\r\n\r\n").startswith(b"GET /puppet/get ")
            client.reset()


def test_a_request_behind_one_that_is_refused_its_upgrade_is_answered(tunnels: Stand, account: Account) -> None:
    with tunnels.connect() as client:
        client.send(account.request("/puppet/x") + account.request("/puppet/y", b"X-A: b"))
        with tunnels.puppet.accept() as upstream:
            for name in (b"x", b"y"):
                assert upstream.until(b"\r\n\r\n").startswith(b"GET /puppet/%b " % name)
                upstream.send(b"HTTP/1.1 404 No\r\nContent-Length: 1\r\n\r\n" + name)
                assert client.read().body == name


def test_a_stale_connection_of_the_pool_costs_no_upgrade(tunnels: Stand, account: Account) -> None:
    with tunnels.connect() as client:
        client.send(account.request("/puppet/x", b"X-A: b"))
        upstream = tunnels.puppet.accept()
        upstream.until(b"\r\n\r\n")
        upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        assert client.read().status == 200
        client.send(account.request("/puppet/y"))
        upstream.until(b"\r\n\r\n")
        upstream.reset()  # before anything was answered: harmless to repeat
        with tunnels.puppet.accept() as other:
            assert b"Upgrade: websocket" in other.until(b"\r\n\r\n")
            other.send(SWITCHING)
            assert client.read_next().status == 101
            other.send(b"still")
            assert client.exactly(5) == b"still"


# What passes


def test_what_comes_right_behind_the_heads_is_not_lost(tunnels: Stand, account: Account) -> None:
    with tunnels.connect() as client, tunnels.row() as rows:
        client.send(account.request("/puppet/x") + b"eager")
        with tunnels.puppet.accept() as upstream:
            head = upstream.until(b"\r\n\r\n")
            assert b"eager" not in head + upstream.buffer
            upstream.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + SWITCHING + b"\x82\x05first")
            assert [client.read_next().status, client.read_next().status] == [103, 101]
            assert client.exactly(7) == b"\x82\x05first"
            assert upstream.exactly(5) == b"eager"
            client.socket.close()
            assert ended(upstream)
    assert rows[0][:3] == (101, Refusal.ADMITTED, 0)
    assert rows[0].bytes_in == len(account.request("/puppet/x")) + 5


def test_a_tunnel_needs_no_key_where_nobody_does(tunnels: Stand) -> None:
    with tunnels.connect() as client:
        client.send(b"GET /hidden/x HTTP/1.1\r\nHost: wire\r\n" + b"\r\n".join(HANDSHAKE) + b"\r\n\r\n")
        with tunnels.puppet.accept() as upstream:
            upstream.until(b"\r\n\r\n")
            upstream.send(SWITCHING + TEXT)
            assert client.read_next().status == 101
            tunnels.pass_time(90)
            assert client.exactly(4) == TEXT


@pytest.mark.parametrize("first", ["client", "upstream"])
def test_one_side_may_end_while_the_other_goes_on(tunnels: Stand, account: Account, first: str) -> None:
    client, upstream = tunnels.open(account)
    with client, upstream, tunnels.row() as rows:
        near, far = (client, upstream) if first == "client" else (upstream, client)
        near.send(b"last")
        near.half_close()
        assert far.exactly(4) == b"last"
        assert ended(far)
        assert near.is_silent(0.05)
        far.send(b"much" * 100_000)
        far.socket.close()
        assert near.exactly(400_000) == b"much" * 100_000
        assert ended(near)
    assert rows[0].verdict is Refusal.ADMITTED


def test_a_client_that_had_ended_before_hears_everything(tunnels: Stand, account: Account) -> None:
    with tunnels.connect() as client:
        client.send(account.request("/puppet/x") + b"all")
        client.half_close()
        with tunnels.puppet.accept() as upstream:
            upstream.until(b"\r\n\r\n")
            assert upstream.is_silent(0.05)
            upstream.send(SWITCHING)
            assert client.read_next().status == 101
            assert upstream.exactly(3) == b"all"
            assert ended(upstream)
            upstream.send(b"well")
            upstream.socket.close()
            assert client.exactly(4) == b"well"
            assert ended(client)


@pytest.mark.parametrize(("side", "verdict"), [("client", Refusal.CLIENT_GONE), ("upstream", Refusal.UPSTREAM_FAILED)])
def test_a_reset_is_passed_on_as_one(tunnels: Stand, account: Account, side: str, verdict: Refusal) -> None:
    client, upstream = tunnels.open(account)
    with client, upstream, tunnels.row() as rows:
        near, far = (client, upstream) if side == "client" else (upstream, client)
        near.reset()
        assert reset(far)
    assert (rows[0].status, rows[0].verdict) == (101, verdict)


@pytest.mark.parametrize("reader", ["client", "upstream"])
def test_who_reads_slowly_makes_the_other_wait_and_misses_nothing(
    tunnels: Stand, account: Account, reader: str
) -> None:
    client, upstream = tunnels.open(account)
    slow, quick = (client, upstream) if reader == "client" else (upstream, client)
    part = bytes(range(256)) * 1024
    parts = more_than_buffered() // len(part)
    sent = [0]

    def push() -> None:
        for _ in range(parts):
            quick.socket.sendall(part)
            sent[0] += 1
        quick.half_close()

    before = tunnels.resident_bytes()
    with client, upstream:
        thread = threading.Thread(target=push)
        thread.start()
        assert stopped(lambda: sent[0]) < parts, "it is not stopped"
        assert tunnels.resident_bytes() - before < 4 << 20
        slow.send(b"the other way it goes on")
        assert quick.exactly(24) == b"the other way it goes on"
        seen = hashlib.sha256()
        for _ in range(parts):
            seen.update(slow.exactly(len(part)))
        assert ended(slow)
        thread.join()
        assert seen.digest() == hashlib.sha256(part * parts).digest()


# What takes too long


def test_a_tunnel_that_is_silent_for_too_long_is_closed(tunnels: Stand, account: Account) -> None:
    client, upstream = tunnels.open(account)
    with client, upstream, tunnels.row() as rows:
        for side in (client, upstream):  # both together count
            tunnels.pass_time(HOUR_S - 60)
            side.send(TEXT)
            assert (upstream if side is client else client).exactly(4) == TEXT
        tunnels.pass_time(HOUR_S + 1)
        assert close_frame(client.exactly(23)) == (1001, "tunnel_idle_timeout")
        assert close_frame(upstream.exactly(27)) == (1001, "tunnel_idle_timeout")
        assert [ended(client), ended(upstream)] == [True, True]
    assert rows[0].verdict is Refusal.ADMITTED


def test_no_frame_is_put_into_another_nor_behind_a_close(tunnels: Stand, account: Account) -> None:
    client, upstream = tunnels.open(account)
    with client, upstream:
        upstream.send(FULL + b"part")
        client.send(b"\x88\x80\0\0\0\0")
        assert client.exactly(14) == FULL + b"part"
        assert upstream.exactly(6) == b"\x88\x80\0\0\0\0"
        tunnels.pass_time(HOUR_S + 1)
        assert [ended(client), ended(upstream)] == [True, True]


def test_a_tunnel_of_another_protocol_is_closed_without_a_word(tunnels: Stand, account: Account) -> None:
    with tunnels.connect() as client:
        client.send(account.request("/puppet/x", b"Connection: Upgrade", b"Upgrade: tcp"))
        with tunnels.puppet.accept() as upstream:
            upstream.until(b"\r\n\r\n")
            upstream.send(SWITCHING.replace(b"websocket", b"TCP"))
            assert client.read_next().one("upgrade") == "TCP"
            tunnels.pass_time(HOUR_S + 1)
            assert [ended(client), ended(upstream)] == [True, True]


def test_who_does_not_answer_the_close_is_cut(tunnels: Stand, account: Account) -> None:
    client, upstream = tunnels.open(account)
    with client, upstream:
        tunnels.pass_time(HOUR_S + 1)
        assert client.until(b"tunnel_idle_timeout")
        assert tunnels.gauges() == (0, 0, 1, 1)
        tunnels.pass_time(3)
        assert eventually(lambda: tunnels.gauges() == (0, 0, 0, 0))


def test_settings_say_how_long_and_for_ever(tunnels: Stand, account: Account) -> None:
    try:
        tunnels.configure("tunnel_idle_timeout = 0")
        client, upstream = tunnels.open(account)
        with client, upstream:
            tunnels.pass_time(30 * HOUR_S)
            client.send(TEXT)
            assert upstream.exactly(4) == TEXT
        tunnels.configure('total_timeout = "10m"')
        client, upstream = tunnels.open(account)
        with client, upstream, tunnels.row() as rows:
            tunnels.pass_time(570)
            client.send(TEXT)
            assert upstream.exactly(4) == TEXT
            tunnels.pass_time(31)
            assert close_frame(client.exactly(17)) == (1001, "total_timeout")
        assert (rows[0].status, rows[0].verdict) == (101, Refusal.UPSTREAM_TIMEOUT)
    finally:
        tunnels.configure()


@pytest.mark.parametrize(("side", "verdict"), [("client", Refusal.CLIENT_GONE), ("upstream", Refusal.UPSTREAM_TIMEOUT)])
def test_who_takes_nothing_for_too_long_is_cut(tunnels: Stand, account: Account, side: str, verdict: Refusal) -> None:
    client, upstream = tunnels.open(account)
    with client, upstream, tunnels.row() as rows:
        stuck, other = (client, upstream) if side == "client" else (upstream, client)
        sent = fill(other)
        tunnels.pass_time(40)
        stuck.exactly(sent)
        fill(other)
        tunnels.pass_time(40)
        assert tunnels.tunnels == 1
        tunnels.pass_time(40)
        assert reset(other)
    assert (rows[0].status, rows[0].verdict) == (101, verdict)


def fill(sender: Accepted | Client) -> int:
    """Send until nothing is taken any more: how many bytes."""
    sender.socket.settimeout(0.3)
    sent = 0
    try:
        while True:
            sent += sender.socket.send(b"x" * 65536)
    except TimeoutError:
        return sent
    finally:
        sender.socket.settimeout(10)


# The end of the worker


def test_a_worker_that_must_end_says_goodbye(tunnels: Stand, account: Account) -> None:
    client, upstream = tunnels.open(account)
    with client, upstream, tunnels.row() as rows:
        tunnels.host.tell("drain")
        assert close_frame(client.exactly(4)) == (1001, "")
        assert close_frame(upstream.exactly(8)) == (1001, "")
        client.send(b"\x88\x82\0\0\0\0\x03\xe9")
        client.socket.close()
        assert ended(upstream)
    assert rows[0].verdict is Refusal.ADMITTED

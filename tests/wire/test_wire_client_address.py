"""Who the client is: the peer, or who a trusted proxy says that it is; in the journal, and for the upstream."""

from __future__ import annotations

from pathlib import Path

from .conftest import NewHost
from .oracle import Arrival, Oracle
from .rig import Host, eventually
from .spread import oracles

OWN = "127.0.0.1"


def config(oracle: Oracle, *trusted: str) -> str:
    networks = ", ".join(f'"{network}"' for network in trusted)
    return (
        f"[server]\ntrusted_proxies = [{networks}]\n"
        f'[[upstreams]]\nname = "oracle"\ntargets = ["http://127.0.0.1:{oracle.port}"]\n'
        '[[routes]]\nname = "open"\npath = "/"\nupstream = "oracle"\nauth = "none"\n'
    )


def call(host: Host, oracle: Oracle, *fields: str) -> tuple[Arrival, tuple[str, int]]:
    """What the upstream sees of one call on a new connection, and who the journal says has made it."""
    written = host.gateway.segment.journal_written(host.slot)
    with host.connect() as client:
        lines = "".join(f"{field}\r\n" for field in fields)
        client.send(f"GET /x HTTP/1.1\r\nHost: api.example.com\r\n{lines}\r\n".encode())
        assert client.read().status == 200
        assert eventually(lambda: host.gateway.segment.journal_written(host.slot) > written)
    return oracle.arrivals[-1], host.last_caller()


def test_a_chain_of_a_trusted_proxy_is_read_from_its_end(oracle: Oracle, new_host: NewHost) -> None:
    host = new_host(config(oracle, "127.0.0.0/8", "10.0.0.0/9", "2001:db8:1::/48"))
    for chain, client in (
        ([], OWN),
        (["203.0.113.7"], "203.0.113.7"),
        (["198.51.100.1, 203.0.113.7"], "203.0.113.7"),  # what the client has said of itself
        (["203.0.113.7, 10.1.2.3"], "203.0.113.7"),
        (["203.0.113.7", "10.1.2.3"], "203.0.113.7"),
        (["203.0.113.7, 10.128.0.1"], "10.128.0.1"),
        (["10.1.1.1, 10.1.2.3"], "10.1.1.1"),  # all of them trusted: from the first
        (["203.0.113.7, 2001:db8:1:2::3"], "203.0.113.7"),
        (["203.0.113.7, 2001:db8:2::3"], "2001:db8:2::3"),
        (["2001:DB8::7"], "2001:db8::7"),
        (["[2001:db8::7]:4711"], "2001:db8::7"),
        (["[2001:db8::7]"], "2001:db8::7"),
        (["203.0.113.7:4711"], "203.0.113.7"),
        (["::ffff:203.0.113.7"], "203.0.113.7"),
        ([" ,, 203.0.113.7\t,, "], "203.0.113.7"),
        (["203.0.113.7, unknown"], OWN),  # nobody knows who has said what is before that
        (["203.0.113.7, 203.0.113.256, 10.1.2.3"], "10.1.2.3"),
        (["203.0.113.07"], OWN),
        (["[2001:db8::7"], OWN),
        (["[2001:db8::7]x"], OWN),
        (["2001:db8::7%eth0"], OWN),
        (["1" * 200], OWN),
        ([", ".join(["203.0.113.7"] + ["10.1.2.3"] * 100)], "10.1.2.3"),  # so many are not looked at
    ):
        arrival, caller = call(host, oracle, *(f"X-Forwarded-For: {value}" for value in chain))
        assert caller[0] == client, chain
        assert (caller[1] == 0) is (client != OWN), "a port is known of its own peer alone"
        assert arrival.one("x-forwarded-for") == ", ".join([*(value.strip(" \t") for value in chain), OWN])


def test_a_trusted_proxy_says_by_what_scheme_and_for_which_host(oracle: Oracle, new_host: NewHost) -> None:
    host = new_host(config(oracle, "127.0.0.1"))
    for fields, scheme, name in (
        ([], "http", "api.example.com"),
        (["X-Forwarded-Proto: https"], "https", "api.example.com"),
        (["X-Forwarded-Proto: https, http"], "http", "api.example.com"),
        (["X-Forwarded-Proto:", "X-Forwarded-Host:"], "http", "api.example.com"),
        (["X-Forwarded-Proto: " + "s" * 17, "X-Forwarded-Host: " + "h" * 512], "http", "api.example.com"),
        (["x-forwarded-host: shop.example.com"], "http", "shop.example.com"),
        (["X-Real-IP: 1.2.3.4", "Forwarded: for=1.2.3.4", "X-Forwarded-Port: 1"], "http", "api.example.com"),
    ):
        arrival, (client, _) = call(host, oracle, *fields)
        assert client == OWN
        assert (arrival.one("x-forwarded-proto"), arrival.one("x-forwarded-host")) == (scheme, name)
        assert [arrival.all(field) for field in ("x-real-ip", "forwarded", "x-forwarded-port")] == [[], [], []]


def test_the_word_of_others_is_replaced(oracle: Oracle, new_host: NewHost) -> None:
    host = new_host(config(oracle, "192.0.2.0/24", "unix"))
    said = ["X-Forwarded-For: 203.0.113.7", "X-Forwarded-Proto: https", "X-Forwarded-Host: shop.example.com"]
    arrival, (client, port) = call(host, oracle, *said)
    assert client == OWN
    assert port > 0
    assert arrival.all("x-forwarded-for") == [OWN]
    assert arrival.all("x-forwarded-proto") == ["http"]
    assert arrival.all("x-forwarded-host") == ["api.example.com"]


def test_whom_to_trust_may_change_for_connections_that_come(oracle: Oracle, new_host: NewHost) -> None:
    host = new_host(config(oracle))
    assert call(host, oracle, "X-Forwarded-For: 203.0.113.7")[1][0] == OWN
    host.reconfigure(config(oracle, OWN))
    assert call(host, oracle, "X-Forwarded-For: 203.0.113.7")[1][0] == "203.0.113.7"


def test_a_peer_on_a_unix_socket_has_no_address(oracle: Oracle, new_host: NewHost, tmp_path: Path) -> None:
    listener = '[[listeners]]\naddress = "unix:/x"\n'
    host = new_host(config(oracle, "0.0.0.0/0", "::/0") + listener, path_of_socket=str(tmp_path / "a"))
    arrival, caller = call(host, oracle, "X-Forwarded-For: 203.0.113.7")
    assert caller == ("", 0)
    assert (arrival.all("x-forwarded-for"), arrival.one("x-forwarded-proto")) == ([], "http")
    host.reconfigure(config(oracle, "unix", "10.0.0.0/8") + listener)
    arrival, caller = call(host, oracle, "X-Forwarded-For: 203.0.113.7, 10.0.0.1")
    assert caller == ("203.0.113.7", 0)
    assert arrival.one("x-forwarded-for") == "203.0.113.7, 10.0.0.1"
    assert call(host, oracle)[1] == ("", 0)


def test_calls_without_what_is_hashed_go_by_the_client_s_address(new_host: NewHost) -> None:
    """Also where it is a proxy that tells it; and always to the same server."""
    with oracles(4) as servers:
        others = "".join(f'"http://127.0.0.1:{server.port}", ' for server in servers[1:])
        text = config(servers[0], "127.0.0.0/8")
        host = new_host(text.replace("targets = [", f'balance = "hash"\nhash_by = "x-session"\ntargets = [{others}'))
        with host.connect() as client:
            for number in range(32):
                for path, fields in (
                    ("clients", f"X-Forwarded-For: 203.0.113.{number}\r\n"), ("one", "X-Session: one\r\n"), ("own", ""),
                ):  # fmt: skip
                    client.send(f"GET /{path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n".encode())
                    assert client.read().status == 200
        asked = {
            path: sorted(sum(arrival.target == f"/{path}" for arrival in server.arrivals) for server in servers)
            for path in ("clients", "one", "own")
        }
        assert asked["one"] == asked["own"] == [0, 0, 0, 32]
        assert asked["clients"][0] > 0

"""The client behind trusted proxies is whom a plain reading of X-Forwarded-For names, and the chain goes on whole."""

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_build import make_gate, scratch_segment
from test_kernels_journal import RECORD

from fastgw._call import Peer, Proxies
from fastgw._segment import RECORD_BYTES

NETWORKS = ("10.0.0.0/8", "192.0.2.128/25", "2001:db8::/33", "::1", "203.0.113.9")
SEGMENT = scratch_segment()
GATE = make_gate(SEGMENT, 0)

near = st.sampled_from(
    ["10.0.0.0", "10.255.255.255", "11.0.0.0", "9.255.255.255", "192.0.2.127", "192.0.2.128", "203.0.113.9", "::1",
     "203.0.113.8", "2001:db8:7fff::", "2001:db8:8000::", "2001:db7::", "::2", "::ffff:10.1.1.1", "::10.1.1.1"]
)  # fmt: skip
addresses = st.one_of(near, st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str))
ported = st.one_of(
    addresses, addresses.map(lambda text: f"[{text}]:443" if ":" in text else f"{text}:443"),
)  # fmt: skip
padded = st.tuples(st.sampled_from(["", " ", "\t", ",", " , "]), ported, st.sampled_from(["", " "])).map("".join)
junk = st.text(alphabet="0123456789abcdef.:[]% _", max_size=50).filter(lambda text: text.strip() != "")
chains = st.lists(st.lists(st.one_of(padded, padded, padded, junk), max_size=5).map(",".join), max_size=4)


def packed(text: str) -> bytes | None:
    """Sixteen bytes of an address in one of its forms, None for what is none."""
    if text.startswith("["):
        text, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            return None
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    if len(text) > 45 or not text:
        return None
    try:
        if ":" in text:
            return socket.inet_pton(socket.AF_INET6, text)
        return bytes(10) + b"\xff\xff" + socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError):
        return None


def trusted(raw: bytes) -> bool:
    address: IPv4Address | IPv6Address = IPv6Address(raw)
    address = address.ipv4_mapped or address  # type: ignore[union-attr]
    return any(address in ip_network(network) for network in NETWORKS)


def client_of(chain: list[str], peer: bytes) -> bytes:
    """What a plain reading says."""
    found = peer
    elements = [element.strip(" \t") for value in chain for element in value.split(",")]
    for element in filter(None, reversed(elements)):
        raw = packed(element)
        if raw is None:
            break
        found = raw
        if not trusted(raw):
            break
    return found


def recorded(peer: Peer, chain: list[str]) -> tuple[bytes, int]:
    """Address and port that the journal has of one request."""
    lines = "".join(f"X-Forwarded-For: {value}\r\n" for value in chain)
    head = f"GET /no/such/route HTTP/1.1\r\nHost: h\r\n{lines}\r\n".encode()
    assert GATE.begin(head, 0, len(head)) == 0
    GATE.refuse(GATE.decide(peer), False)
    records, _, _ = SEGMENT.journal(0, SEGMENT.journal_written(0) - 1)
    fields = RECORD.unpack_from(records, len(records) - RECORD_BYTES)
    return fields[19], fields[17]


@settings(max_examples=150)
@given(chains)
def test_the_client_is_whom_the_chain_names(chain: list[str]) -> None:
    peer = Peer("10.1.2.3", 4711, Proxies(NETWORKS))
    assert peer.trusted
    raw, port = recorded(peer, chain)
    own = packed("10.1.2.3")
    assert own
    assert raw == client_of(chain, own)
    assert port in (0, 4711)


@given(addresses)
def test_a_peer_is_trusted_by_its_network(text: str) -> None:
    raw = packed(text)
    assert raw
    assert Peer(text, 1, Proxies(NETWORKS)).trusted is trusted(raw)


@given(addresses, st.integers(0, 128))
def test_a_network_has_what_begins_alike(text: str, bits: int) -> None:
    raw = packed(text)
    assert raw
    network = IPv6Network((raw, bits), strict=False)
    if bits < 96:
        network = IPv6Network((bytes([raw[0] | 0x20]) + raw[1:], bits), strict=False)
    for other in ("2001:db8::1", "::1", "ff00::", str(IPv6Address(raw))):
        peer = Peer(other, 1, Proxies([str(network)]))
        assert peer.trusted is (IPv6Address(other) in network)


def test_a_peer_without_an_address_is_trusted_by_the_word_unix() -> None:
    assert Peer("", 0, Proxies(["unix"])).trusted
    assert not Peer("", 0, Proxies(["0.0.0.0/0", "::/0"])).trusted
    assert not Peer("127.0.0.1", 1, Proxies(["unix"])).trusted
    assert not Peer("127.0.0.1", 1).trusted
    assert recorded(Peer("", 0, Proxies(["unix"])), ["203.0.113.7"]) == (packed("203.0.113.7"), 0)
    assert recorded(Peer("", 0), ["203.0.113.7"]) == (bytes(16), 0)


def test_an_address_has_one_form() -> None:
    assert Peer("::ffff:192.0.2.1", 1).address == "192.0.2.1"
    assert Peer("fe80::1%lo", 1).address == "fe80::1"
    assert ip_address(Peer("2001:db8::1", 1).address).version == 6
    with pytest.raises(OSError, match="illegal IP address"):
        Peer("localhost", 1)
    with pytest.raises(ValueError, match="at most 256"):
        Proxies(["10.0.0.0/8"] * 257)

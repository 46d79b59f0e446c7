"""Decides what counts as a host, a port, a listening address, a network and an upstream target."""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address, ip_network
from typing import NamedTuple

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
_DOTTED_DIGITS = re.compile(r"[0-9.]+")
_PORT = re.compile(r"[0-9]{1,5}")
_PORTS = {"http": 80, "https": 443}
DNS_PORT = 53
_SOCKET = re.compile(r"/[!-~]+")
SOCKET_PATH_MAX = 107  # sockaddr_un of Linux, without the final NUL
_LISTEN_RULE = (
    'must be host:port with a port from 1 to 65535, like "127.0.0.1:8080", "[::1]:8080" or ":8080" for all interfaces'
)
_DOOR_RULE = (
    'must be host:port like "[::]:8443" or ":8080", or "unix:/path" with a path of at most 107 bytes, or "systemd" or '
    '"systemd:NAME" for sockets that systemd passes'
)
_NETWORK_RULE = 'must be a network like "10.0.0.0/8" or "2001:db8::/32", an address, or "unix" for Unix sockets'
_NAMED = re.compile(r"systemd(?::[!-9;-~]{1,255})?")  # FileDescriptorName= of systemd.socket(5)
UNIX, PASSED = "unix", "systemd"
_TARGET_RULE = (
    'must be http:// or https:// with a host and at most a port, no path, like "http://127.0.0.1:9001", '
    'or "unix:/run/app.sock", or "srv+http://_http._tcp.example.com"'
)


def parse_host(text: str) -> str | None:
    """The host in lower case without brackets if `text` is an RFC 3986 host of use here, else None.

    A literal IPv4 address, an IPv6 address in brackets (no zone), or a DNS name without a final dot.
    """
    if text.startswith("[") and text.endswith("]"):
        return _ipv6(text[1:-1])
    host = text.lower()
    if _DOTTED_DIGITS.fullmatch(host):
        try:
            return str(IPv4Address(host))
        except AddressValueError:
            return None
    return host if _NAME.fullmatch(host) else None


def is_private(host: str) -> bool:
    """Whether a host, as `parse_host` writes it, is an address of this machine or of a private network."""
    try:
        return ip_address(host).is_private
    except ValueError:
        return False


def _ipv6(text: str) -> str | None:
    if "%" in text:
        return None
    try:
        return str(IPv6Address(text))
    except AddressValueError:
        return None


def _parse_port(text: str) -> int | None:
    if not _PORT.fullmatch(text):
        return None
    port = int(text)
    return port if 1 <= port <= 65535 else None


def split_listen(value: object) -> tuple[str, int]:
    """(host without brackets, port) of a listening address; the host is "" for all interfaces.

    Raises `ValueError` with the form that is allowed.
    """
    if isinstance(value, str):
        host_text, colon, port_text = value.rpartition(":")
        port = _parse_port(port_text) if colon else None
        host = "" if host_text == "" else parse_host(host_text)
        if host is not None and port is not None:
            return host, port
    raise ValueError(_LISTEN_RULE)


def split_name_server(value: object) -> tuple[str, int]:
    """(host without brackets, port) of "10.0.0.2", "10.0.0.2:8600", "::1" or "[::1]:8600". Raises `ValueError`."""
    if isinstance(value, str):
        try:
            return str(ip_address(value)), DNS_PORT
        except ValueError:
            host, port = split_listen(value)
            return str(ip_address(host)), port
    raise ValueError("must be an IP address")


def join_listen(host: str, port: int) -> str:
    """The written form of (host, port), the inverse of `split_listen`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_door(value: object) -> str:
    """The written form of the address of a listener: what `split_listen` takes, a Unix socket, or one of systemd's.

    Raises `ValueError` with the forms that are allowed.
    """
    text = value if isinstance(value, str) else ""
    if path := socket_path(text):
        if _SOCKET.fullmatch(path) and len(path.encode()) <= SOCKET_PATH_MAX:
            return text
    elif _NAMED.fullmatch(text):
        return text
    elif not text.startswith((f"{UNIX}:", f"{PASSED}:")):
        try:
            return join_listen(*split_listen(text))
        except ValueError:
            pass
    raise ValueError(_DOOR_RULE)


def socket_path(address: str) -> str:
    """The path of a listener's Unix socket; "" for a listener of another kind."""
    return address.removeprefix(f"{UNIX}:") if address.startswith(f"{UNIX}:") else ""


def passed_name(address: str) -> str | None:
    """The name of systemd's sockets that a listener accepts on, "" for all without a listener of their own; None for a
    listener of another kind."""
    kind, _, name = address.partition(":")
    return name if kind == PASSED else None


def is_port(address: str) -> bool:
    """Whether a listener's address is a host and a port."""
    return not socket_path(address) and passed_name(address) is None


def overlap(a: str, b: str) -> bool:
    """Whether two listeners cannot both be: the same, or on one port (an unspecified host meets all of its family)."""
    if not (is_port(a) and is_port(b)):
        return a == b
    (host_a, port_a), (host_b, port_b) = split_listen(a), split_listen(b)
    return port_a == port_b and (host_a == host_b or _covers(host_a, host_b) or _covers(host_b, host_a))


def _covers(host: str, other: str) -> bool:
    """Whether `host` is an unspecified one that `other` is part of; a name may be of either family."""
    if host == "0.0.0.0":
        return ":" not in other
    if host == "::":
        return not _DOTTED_DIGITS.fullmatch(other)
    return host == ""


def parse_network(value: object) -> str:
    """The written form of a network, or of one address; "unix" stands for all peers on Unix sockets. Raises
    `ValueError`."""
    try:
        text = value if isinstance(value, str) and "%" not in value else ""
        return UNIX if text == UNIX else str(ip_network(text))
    except ValueError:
        raise ValueError(_NETWORK_RULE) from None


class TargetUrl(NamedTuple):
    """The parts of a target; `host` has no brackets, and is "" for a Unix socket, whose path is `socket`."""

    host: str
    port: int
    authority: str
    tls: bool = False
    socket: str = ""
    srv: bool = False


def split_target(value: object) -> TargetUrl:
    """The parts of `http://host[:port]`, `https://host[:port]`, `unix:/path`, or `srv+http://name` (or `srv+https`).

    The port is the scheme's where none is written, and 0 for SRV records, which have their own; `authority` is as
    written, "localhost" for a socket. Raises `ValueError` with the forms that are allowed.
    """
    scheme, colon, rest = value.partition(":") if isinstance(value, str) else ("", "", "")
    scheme = scheme.lower()
    if scheme == "unix" and _SOCKET.fullmatch(rest) and len(rest.encode()) <= SOCKET_PATH_MAX:
        return TargetUrl("", 0, "localhost", socket=rest)
    authority = rest.removeprefix("//")
    srv = scheme.startswith("srv+")
    standard = _PORTS.get(scheme.removeprefix("srv+"), 0)
    if not colon or authority == rest or not standard:
        raise ValueError(_TARGET_RULE)
    if authority.endswith("]") or ":" not in authority:
        host_text, port = authority, standard
    else:
        host_text, _, port_text = authority.rpartition(":")
        port = _parse_port(port_text) or 0
    host = parse_host(host_text)
    if host is None or not port or (srv and (host != authority.lower() or not host.startswith("_"))):
        raise ValueError(_TARGET_RULE)
    return TargetUrl(host, 0 if srv else port, authority, standard == _PORTS["https"], srv=srv)

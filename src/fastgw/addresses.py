"""Decides what counts as a host, a port, a listening address and an upstream target."""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import NamedTuple

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
_DOTTED_DIGITS = re.compile(r"[0-9.]+")
_PORT = re.compile(r"[0-9]{1,5}")
_PORTS = {"http": 80, "https": 443}
_SOCKET = re.compile(r"/[!-~]+")
SOCKET_PATH_MAX = 107  # sockaddr_un of Linux, without the final NUL
_LISTEN_RULE = (
    'must be host:port with a port from 1 to 65535, like "127.0.0.1:8080", "[::1]:8080" or ":8080" for all interfaces'
)
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


def join_listen(host: str, port: int) -> str:
    """The written form of (host, port), the inverse of `split_listen`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def overlap(a: str, b: str) -> bool:
    """Whether two listening addresses would meet on one port (an unspecified host meets every other)."""
    (host_a, port_a), (host_b, port_b) = split_listen(a), split_listen(b)
    everywhere = {"", "0.0.0.0", "::"}
    return port_a == port_b and (host_a == host_b or bool({host_a, host_b} & everywhere))


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

"""Decides what a PROXY header says: versions 1 and 2 of HAProxy's specification, of 2020.

Nothing else is taken for one. What its version 2 adds as TLVs is skipped.
"""

import re
import socket
import struct
from ipaddress import IPv4Address, IPv6Address

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"  # of version 2
FIXED = len(SIGNATURE) + 4  # bytes of it that are always there
TEXT = b"PROXY "  # what version 1 begins with
LINE_MAX = 107  # bytes of version 1, its CRLF included
HEADER_MAX = FIXED + 0xFFFF

_LINE = re.compile(rb"PROXY TCP([46]) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})\r\n")
_UNKNOWN = re.compile(rb"PROXY UNKNOWN(?: [^\r\n]*)?\r\n")
_LOCAL, _PROXY = 0x20, 0x21
_STREAM = 1
_ADDRESSES = {1: 12, 2: 36, 3: 216}  # bytes by family: IPv4, IPv6, Unix

Source = tuple[str, int]  # an address, "" for that of a Unix socket, and a port


class Malformed(ValueError):
    """It is no PROXY header."""


def header_end(data: bytes) -> int:
    """The offset just past the header that `data` begins with; -1 while all of `data` belongs to one that is not whole.

    Raises Malformed, as soon as that is sure.
    """
    if data.startswith(TEXT[: len(data)]):
        end = data.find(b"\r\n", 0, LINE_MAX)
        if end < 0 and len(data) >= LINE_MAX:
            raise Malformed("a line that does not end")
        return end + 2 if end >= 0 else -1
    if not data.startswith(SIGNATURE[: len(data)]):
        raise Malformed("no PROXY header")
    if len(data) < FIXED:
        return -1
    end = FIXED + int.from_bytes(data[FIXED - 2 : FIXED])
    return end if end <= len(data) else -1


def source(header: bytes) -> Source | None:
    """Whose connection it is by a whole header; None where that is the sender's own, or not said. Raises Malformed."""
    return _binary(header) if header.startswith(SIGNATURE) else _text(header)


def _text(header: bytes) -> Source | None:
    if _UNKNOWN.fullmatch(header):
        return None
    match = _LINE.fullmatch(header)
    if match is None:
        raise Malformed("a line of another form")
    kind = IPv4Address if match[1] == b"4" else IPv6Address
    try:
        addresses = [kind(text.decode()) for text in (match[2], match[3])]
    except ValueError:
        raise Malformed("what is no address") from None
    ports = [int(text) for text in (match[4], match[5])]
    if max(ports) > 0xFFFF:
        raise Malformed("what is no port")
    return str(addresses[0]), ports[0]


def _binary(header: bytes) -> Source | None:
    command, family, transport = header[12], header[13] >> 4, header[13] & 15
    if command == _LOCAL:
        return None
    if command != _PROXY or family > 3 or transport > 2:
        raise Malformed("an unknown command, family or protocol")
    if family == 0 or transport != _STREAM:
        return None
    body = header[FIXED:]
    if len(body) < _ADDRESSES[family]:
        raise Malformed("no room for its addresses")
    if family == 3:
        return "", 0
    kind, length = (socket.AF_INET, 4) if family == 1 else (socket.AF_INET6, 16)
    (port,) = struct.unpack_from("!H", body, 2 * length)
    return socket.inet_ntop(kind, body[:length]), port

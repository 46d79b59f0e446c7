"""Decides what to make of a head that is not plain: httptools has the last word on what is HTTP.

A head that httptools accepts is written anew in the plain form, or refused: what is neither is not forwarded.
"""

import re

import httptools

from ..refusals import Refusal

# Tighter than httptools, which takes several spaces, and other protocols (RFC 9112 §3)
_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) (HTTP/[0-9]\.[0-9])")
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] [1-9][0-9]{2}(?: [^\r\n]*)?\r")
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?#@]+)(/[^?#]*)?(\?[^#]*)?")  # without user and fragment: host, path, query
_VERSIONS = (b"HTTP/1.0", b"HTTP/1.1")


class _Fields:
    """Collects what httptools finds in one head."""

    def __init__(self) -> None:
        self.url = b""
        self.status = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.complete = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_status(self, status: bytes) -> None:
        self.status += status

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        self.complete = True


def plain_request(head: bytes) -> bytes | Refusal:
    """The same request head in plain form (origin-form target, one line a field), or why it is refused."""
    refusal = line_refusal(head.partition(b"\n")[0])
    if refusal:
        return refusal
    found = _Fields()
    parser = httptools.HttpRequestParser(found)
    try:
        parser.feed_data(head)
    except httptools.HttpParserUpgrade:
        pass  # the head of an Upgrade request without a body: httptools stops there, and so do we
    except httptools.HttpParserInvalidMethodError:
        return Refusal.NOT_IMPLEMENTED
    except httptools.HttpParserError:
        return Refusal.BAD_REQUEST
    if not found.complete:
        return Refusal.BAD_REQUEST
    version = parser.get_http_version()
    method = parser.get_method()
    if method == b"CONNECT":
        return Refusal.NOT_IMPLEMENTED
    fields = [(name.lower(), value.strip(b" \t")) for name, value in found.fields]
    if any(name == b"transfer-encoding" and value.lower() != b"chunked" for name, value in fields):
        return Refusal.NOT_IMPLEMENTED
    target = found.url
    if target == b"*":
        return Refusal.BAD_REQUEST
    if not target.startswith(b"/"):
        # Absolute form: its host wins over Host (RFC 9112 §3.2.2).
        url = _ABSOLUTE.fullmatch(target)
        if url is None or sum(name == b"host" for name, _ in fields) != 1:
            return Refusal.BAD_REQUEST
        fields = [(name, url[1] if name == b"host" else value) for name, value in fields]
        target = (url[2] or b"/") + (url[3] or b"")
    line = b"%b %b HTTP/%b" % (method, target, version.encode())
    return _write(line, fields) or Refusal.BAD_REQUEST


def plain_response(head: bytes) -> bytes | None:
    """The same response head in plain form, or None when it is not to be trusted."""
    if not _STATUS_LINE.fullmatch(head.partition(b"\n")[0]):
        return None
    found = _Fields()
    parser = httptools.HttpResponseParser(found)
    try:
        parser.feed_data(head)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError:
        return None
    if not found.complete:
        return None
    line = b"HTTP/%b %d %b" % (parser.get_http_version().encode(), parser.get_status_code(), found.status)
    return _write(line, [(name, value.strip(b" \t")) for name, value in found.fields])


def _write(line: bytes, fields: list[tuple[bytes, bytes]]) -> bytes | None:
    """Head from its parts; None when a part would break out of its line."""
    parts = [line, *(b"%b: %b" % field for field in fields)]
    if any(b"\r" in part or b"\n" in part or b"\0" in part for part in parts):
        return None
    return b"\r\n".join(parts) + b"\r\n\r\n"


def line_refusal(line: bytes) -> Refusal:
    """Why a request line (with its CR, without its LF) is refused, whatever comes after it; ADMITTED if it is not."""
    parts = _LINE.fullmatch(line[:-1]) if line.endswith(b"\r") else None
    if parts is None:
        return Refusal.BAD_REQUEST
    return Refusal.ADMITTED if parts[3] in _VERSIONS else Refusal.VERSION_NOT_SUPPORTED

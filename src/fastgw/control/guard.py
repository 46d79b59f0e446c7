"""Decides who may speak to the admin API at all: no browser, no stranger's host name, and nobody without the token.

It stands before the framework, so what it refuses reaches no handler; /livez, /readyz and /metrics are open.
"""

import hmac
import re
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from ipaddress import ip_address
from typing import Any

from .problems import MEDIA, Refused, encoded, headers_of

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]

OPEN = frozenset({"/livez", "/readyz", "/metrics"})
_HOST = re.compile(rb"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]]*))(?::[0-9]{0,5})?")
_SAME = (b"none", b"same-origin")  # of Sec-Fetch-Site: typed into the address bar; a page of this very address


class Guard:
    """An ASGI application around another."""

    def __init__(self, app: App, token: str, token_file: str) -> None:
        self.app = app
        self.token = token.encode()
        self.names = frozenset({b"localhost", socket.gethostname().lower().encode()})
        self.detail = (
            f"Send 'Authorization: Bearer <token>'; the token is in {token_file}. "
            "Only /livez, /readyz and /metrics need none."
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # neither lifespan nor websockets are served
        try:
            self._admit(scope)
        except Refused as refused:
            await _answer(refused, send)
            return
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # the server has the original, and sends no body
        await self.app(scope, receive, send)

    def _admit(self, scope: Scope) -> None:
        """Raises Refused."""
        fields: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            fields.setdefault(name, []).append(value)
        if b"origin" in fields or any(value not in _SAME for value in fields.get(b"sec-fetch-site", ())):
            raise Refused("browser_refused", "This API is for programs: requests from web pages are refused.")
        self._check_host(scope, fields.get(b"host", []))
        if scope["path"] not in OPEN and not self._has_token(fields.get(b"authorization", [])):
            raise Refused("unauthorized", self.detail)

    def _check_host(self, scope: Scope, hosts: list[bytes]) -> None:
        """A page whose name was made to mean 127.0.0.1 (DNS rebinding) still sends its own name.

        Only where the request came by the loopback interface: other addresses may have any name.
        """
        if len(hosts) > 1 or (not hosts and scope["http_version"] != "1.0"):
            raise Refused("wrong_host", "A request has one Host field.")
        server = scope.get("server") or ("", 0)
        if not hosts or not _is_loopback(server[0]):
            return
        match = _HOST.fullmatch(hosts[0])
        if match and (match[1] or self._is_ours(match[2].lower())):
            return
        raise Refused("wrong_host", "On this address call the gateway localhost, or by its IP address, in Host.")

    def _is_ours(self, name: bytes) -> bool:
        return name in self.names or name.endswith(b".localhost") or _is_address(name.decode("latin-1"))

    def _has_token(self, values: list[bytes]) -> bool:
        if len(values) != 1:
            return False
        scheme, _, credentials = values[0].partition(b" ")
        # Compared whatever the scheme is, in a time that does not depend on where they differ.
        same = hmac.compare_digest(credentials.strip(b" "), self.token)
        return same and scheme.lower() == b"bearer"


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_loopback(text: str) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


async def _answer(refused: Refused, send: Send) -> None:
    body = encoded(refused.problem)
    fields = {"Content-Type": MEDIA, "Content-Length": str(len(body)), **headers_of(refused.problem)}
    headers = [(name.lower().encode(), value.encode()) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": refused.problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

"""Decides how a connection to an endpoint is made: to which address, over TLS or not; and what is said if it fails."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Callable
from ipaddress import ip_address
from socket import AF_INET, AF_INET6, IPPROTO_TCP, SOCK_STREAM
from typing import Any

from aiohappyeyeballs import start_connection

from ..refusals import Refusal
from ..roster import Endpoint
from .tls_target import TlsToTarget

NEXT_ADDRESS_S = 0.25  # before another address is tried beside one that does not answer (RFC 8305 §5)
FULL_SOCKET_S = 0.01  # before a Unix socket whose queue is full is tried again; the pause doubles
COMPLAINTS_S = 60.0  # at least, between two of one endpoint

# X509_V_ERR_* of OpenSSL, and what helps
_EXPIRED = {9, 10}
_UNKNOWN_ISSUER = {2, 18, 19, 20, 21}
_OTHER_NAME = {62, 64}


class Connector:
    """Makes the connections of one pool; `upstream` and the endpoint's name are for who reads the complaints."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, upstream: str, endpoint: Endpoint, context: ssl.SSLContext | None
    ) -> None:
        self.loop = loop
        self.upstream = upstream
        self.endpoint = endpoint
        self.context = context
        self.addresses = list(endpoint.addresses)  # the one that answered last comes first
        self.session: ssl.SSLSession | None = None  # that the next handshake goes on from
        self.complained = -COMPLAINTS_S

    async def connect(self, factory: Callable[[], Any]) -> None:
        """A connection for the protocol that `factory` makes, which hears of it by connection_made, after the handshake
        if there is one. To be cancelled when it takes too long. Raises OSError, `ssl.SSLError` among them: nothing has
        been sent then."""
        endpoint = self.endpoint
        if not endpoint.tls or self.context is None:
            await self._reach(factory)
            return
        layer = TlsToTarget(self.loop, self.context, endpoint.server_name, self.session, factory())
        try:
            await self._reach(lambda: layer)
            await layer.done
        except BaseException as error:
            layer.done.cancel()
            layer.abort()
            if isinstance(error, ssl.SSLError):
                self.complain(error)
            raise

    async def _reach(self, factory: Callable[[], Any]) -> None:
        endpoint = self.endpoint
        if endpoint.socket:
            await self._reach_socket(factory)
        elif len(self.addresses) == 1:
            await self.loop.create_connection(factory, self.addresses[0], endpoint.port)
        else:
            await self._race(factory)

    async def _reach_socket(self, factory: Callable[[], Any]) -> None:
        """TCP would wait for room in a queue; a Unix socket says at once that it is full."""
        pause_s = FULL_SOCKET_S
        while True:
            try:
                await self.loop.create_unix_connection(factory, self.endpoint.socket)
                return
            except BlockingIOError:
                await asyncio.sleep(pause_s)
                pause_s *= 2

    async def _race(self, factory: Callable[[], Any]) -> None:
        """The first address to answer, each tried a little later than the one before (RFC 8305)."""
        port = self.endpoint.port
        places: list[Any] = [
            (AF_INET6 if ip_address(address).version == 6 else AF_INET, SOCK_STREAM, IPPROTO_TCP, "", (address, port))
            for address in self.addresses
        ]
        won = await start_connection(places, happy_eyeballs_delay=NEXT_ADDRESS_S, loop=self.loop)
        address = won.getpeername()[0]
        if address != self.addresses[0] and address in self.addresses:
            self.addresses.remove(address)
            self.addresses.insert(0, address)
        try:
            await self.loop.create_connection(factory, sock=won)
        finally:
            won.detach()  # uvloop closes it, and forgets to say so here if that is done in connection_made

    def settled(self, transport: Any) -> None:
        """A connection has served a call. Its session is kept: a ticket comes after the handshake (RFC 8446 §4.6.1)."""
        connection = transport.get_extra_info("ssl_object")
        if connection is not None and connection.context is self.context:  # else it was made by other rules
            session = connection.session
            if session is not None and session.has_ticket:
                self.session = session

    def lost(self, error: Exception) -> None:
        """A connection has ended with an error: one that refuses the gateway's certificate says so only then."""
        if isinstance(error, ssl.SSLError):
            self.complain(error)

    def complain(self, error: ssl.SSLError) -> None:
        """Say what is wrong with the TLS of this endpoint, and what helps, once a minute."""
        now = self.loop.time()
        if now - self.complained >= COMPLAINTS_S:
            self.complained = now
            where = f"upstream {self.upstream}: {self.endpoint.name}"
            print(f"fastgw: {where}: {explain(error)}", file=sys.stderr, flush=True)


def refusal_of(error: OSError) -> Refusal:
    """What a call is told when no connection could be made for it."""
    untrusted = isinstance(error, ssl.SSLCertVerificationError)
    return Refusal.UPSTREAM_UNTRUSTED if untrusted else Refusal.UPSTREAM_UNREACHABLE


def explain(error: ssl.SSLError) -> str:
    """What is wrong and what helps, in a line."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        reason = (error.reason or str(error)).replace("_", " ").lower()
        if error.reason and "CERTIFICATE_REQUIRED" in error.reason:
            return f"TLS failed: {reason}; give the upstream a tls.certificate and tls.key that it accepts"
        if error.reason == "WRONG_VERSION_NUMBER":
            return f"TLS failed: {reason}; is it http:// that is spoken there?"
        return f"TLS failed: {reason}"
    text = error.verify_message.rstrip(".")
    helps = ""
    if error.verify_code in _EXPIRED:
        helps = "; its owner has to renew it, if the clock of this machine is right"
    elif error.verify_code in _UNKNOWN_ISSUER:
        helps = "; if it is a CA of your own, set the upstream's tls.ca to the file of its certificate"
    elif error.verify_code in _OTHER_NAME:
        helps = "; if it is the right server, set the upstream's tls.server_name to a name in the certificate"
    return f"its certificate is not trusted: {text}{helps}"

"""Decides whether a server is up: asked again and again, it must fail or answer well several times in a row to change.

Only the first answer of a new one counts alone: until then it is taken to be up.
"""

import asyncio
import contextlib
import random
import ssl
import time
from collections.abc import Callable
from ipaddress import ip_address
from socket import AF_INET, AF_INET6, IPPROTO_TCP, SOCK_STREAM

import httptools
from aiohappyeyeballs import start_connection

from .. import __version__
from ..model import HealthCheck
from ..roster import Endpoint

STATUS_MAX = 399  # of a good answer
READ = 65_536
NEXT_ADDRESS_S = 0.25  # before another address is tried beside one that does not answer (RFC 8305 §5)
AT_ONCE = 64  # checks under way; what counts for their timeouts is the time after they have begun


class _Status(Exception):
    """The head of the answer is here."""


class Health:
    """What checks have said of one endpoint; `reason` is why it is down, "" when it is up or nobody knows any more."""

    def __init__(self, check: HealthCheck, up: bool, is_new: bool) -> None:
        self.check = check
        self.up = up
        self.is_new = is_new
        self.reason = ""
        self.checked_s = 0  # Unix time of the last answer, or of none; 0: not yet
        self.streak = 0  # answers in a row that say the contrary of `up`

    def note(self, problem: str) -> bool:
        """Take an answer, "" for a good one; whether it changes what is to be thought of the endpoint."""
        first, self.is_new = self.is_new and self.up, False
        self.checked_s = int(time.time())
        if (problem == "") == self.up:
            self.streak = 0
            return False
        self.streak += 1
        needed = self.check.healthy_after if problem == "" else self.check.unhealthy_after
        if self.streak < needed and not first:
            return False
        times = f", {self.streak} times in a row" if self.streak > 1 else ""
        self.up = problem == ""
        self.reason = f"{problem}{times}" if problem else ""
        self.streak = 0
        return True


class Checking:
    """Checks one endpoint until it is stopped; `changed` hears of every change, and of the first answer."""

    def __init__(
        self,
        endpoint: Endpoint,
        health: Health,
        context: ssl.SSLContext | None,
        places: asyncio.Semaphore,
        changed: Callable[[bool], None],
    ) -> None:
        self.endpoint = endpoint
        self.health = health
        self._context = context
        self._places = places
        self._changed = changed
        self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        interval_s = self.health.check.interval_ms / 1000
        with contextlib.suppress(asyncio.CancelledError):
            await self._look()
            await asyncio.sleep(interval_s * random.random())  # those that began together go apart
            while True:
                await self._look()
                await asyncio.sleep(interval_s * random.uniform(0.9, 1.1))

    async def _look(self) -> None:
        first = not self.health.checked_s
        async with self._places:
            problem = await ask(self.endpoint, self.health.check, self._context)
        changes = self.health.note(problem)
        if changes or first:
            self._changed(changes)


async def ask(endpoint: Endpoint, check: HealthCheck, context: ssl.SSLContext | None) -> str:
    """GET the path on a connection of its own; "" for a good answer, or what is wrong, as a sentence."""
    if endpoint.tls and context is None:
        return "it cannot be checked: the files of its upstream's tls cannot be used"
    try:
        async with asyncio.timeout(check.timeout_ms / 1000):
            status = await _status(endpoint, check.path, context)
    except TimeoutError:
        return f"GET {check.path} was not answered within {check.timeout_ms} ms"
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is not valid: {error.verify_message}"
    except ssl.SSLError as error:
        return f"TLS failed: {error.reason or error}"
    except (httptools.HttpParserError, EOFError):
        return f"GET {check.path} was answered with no HTTP"
    except OSError as error:
        return f"cannot connect: {error.strerror or error}"
    return "" if status <= STATUS_MAX else f"GET {check.path} answered {status}"


async def _status(endpoint: Endpoint, path: str, context: ssl.SSLContext | None) -> int:
    reader, writer = await _connect(endpoint, context)
    try:
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {endpoint.authority}\r\nUser-Agent: fastgw/{__version__} (health check)\r\n"
            "Accept: */*\r\nConnection: close\r\n\r\n".encode()
        )
        return await _read_status(reader)
    finally:
        writer.transport.abort()


async def _read_status(reader: asyncio.StreamReader) -> int:
    """Of the final answer, whose body is nobody's business."""

    class Head:
        def on_headers_complete(self) -> None:
            if parser.get_status_code() >= 200:
                raise _Status

    parser = httptools.HttpResponseParser(Head())
    while data := await reader.read(READ):
        try:
            parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            if isinstance(error.__context__, _Status):
                return int(parser.get_status_code())
            raise
    raise EOFError


async def _connect(
    endpoint: Endpoint, context: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if endpoint.socket:
        return await asyncio.open_unix_connection(endpoint.socket)
    infos = [
        (
            AF_INET6 if ip_address(address).version == 6 else AF_INET,
            SOCK_STREAM,
            IPPROTO_TCP,
            "",
            (address, endpoint.port),
        )
        for address in endpoint.addresses
    ]
    connected = await start_connection(infos, happy_eyeballs_delay=NEXT_ADDRESS_S)
    try:
        if not endpoint.tls:
            return await asyncio.open_connection(sock=connected)
        return await asyncio.open_connection(sock=connected, ssl=context, server_hostname=endpoint.server_name)
    except BaseException:
        connected.close()
        raise

"""Serves the fake provider over sockets: who may ask, how an answer is cut into writes, and how it goes wrong."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote

from . import anthropic, gemini, openai_rest
from .books import Arrival, Bill, Books
from .mishaps import encoded, fields_of, status_of
from .openai_chat import Event, indented, token
from .orders import Order, Reply, reply
from .requests import Speaker, error_event, form, speaker

MODELS = ["gpt-4o-mini", "gpt-5-nano", "claude-haiku-4-5", "gemini-2.5-flash", "deepseek-reasoner"]
REFUSED_KEYS = "sk-refused"  # how the keys begin that no provider knows
DATE = "Wed, 25 Nov 2026 18:00:00 GMT"
HEAD_MAX = 65536
SETTLE_S = 0.05  # between the last byte and a reset, so that what was sent has been read


class Request(NamedTuple):
    """One request, whole."""

    method: str
    path: str
    query: str
    fields: dict[str, str]
    body: bytes

    def key(self) -> str:
        """The credential, wherever the dialect has it."""
        for name in ("x-api-key", "x-goog-api-key", "api-key"):
            if name in self.fields:
                return self.fields[name]
        given = self.fields.get("authorization", "")
        if given.startswith("AWS4-HMAC-SHA256 Credential="):
            return given.partition("=")[2].partition("/")[0]
        return given.removeprefix("Bearer ") or "".join(parse_qs(self.query).get("key", []))


class Lost(Exception):
    """The other end has closed."""


class Connection:
    """One connection of a client, from its first request to its last."""

    def __init__(self, service: Service, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.service = service
        self.reader = reader
        self.writer = writer
        self.keep = True

    async def run(self) -> None:
        """Serve request after request."""
        with suppress(Lost, asyncio.IncompleteReadError, OSError):
            while self.keep and (request := await self._read()) is not None:
                await self.service.serve(self, request)
        with suppress(OSError):
            self.writer.close()

    async def _read(self) -> Request | None:
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        first, *lines = head[:-4].decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = b""
        if "chunked" in fields.get("transfer-encoding", ""):
            while size := int(await self.reader.readuntil(b"\r\n"), 16):
                body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readexactly(2)
        elif length := int(fields.get("content-length", 0)):
            body = await self.reader.readexactly(length)
        path, _, query = target.partition("?")
        return Request(method, unquote(path), query, fields, body)

    async def send(self, data: bytes) -> None:
        if self.writer.is_closing():
            raise Lost
        self.writer.write(data)
        try:
            await self.writer.drain()
        except OSError:
            raise Lost from None

    async def head(self, status: int, fields: list[tuple[str, str]], length: int | None) -> None:
        """The head of an answer; without a length, of one in chunks."""
        framing = ("Transfer-Encoding", "chunked") if length is None else ("Content-Length", str(length))
        lines = "".join(f"{name}: {value}\r\n" for name, value in [("Date", DATE), *fields, framing])
        await self.send(f"HTTP/1.1 {status} {REASONS.get(status, 'Error')}\r\n{lines}\r\n".encode())

    async def answer(self, status: int, fields: list[tuple[str, str]], body: bytes) -> None:
        await self.head(status, fields, len(body))
        await self.send(body)

    async def part(self, data: bytes, split: int = 0) -> None:
        """One chunk of the body, or, `split`, its bytes in writes of so many, each a segment of its own."""
        if not split:
            await self.send(b"%x\r\n%b\r\n" % (len(data), data))
            return
        for at in range(0, len(data), split):
            some = data[at : at + split]
            await self.send(b"%x\r\n%b\r\n" % (len(some), some))
            await asyncio.sleep(0)

    async def gone(self) -> None:
        """Wait until the other end closes."""
        self.keep = False
        with suppress(OSError):
            while await self.reader.read(HEAD_MAX):
                pass

    def is_gone(self) -> bool:
        return self.reader.at_eof() or self.writer.is_closing()

    async def reset(self) -> None:
        """End with an RST, once what was sent has been read."""
        self.keep = False
        await asyncio.sleep(SETTLE_S)
        peer: socket.socket | None = self.writer.get_extra_info("socket")
        if peer is not None and not self.writer.is_closing():
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


REASONS = {200: "OK", 204: "No Content", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found"}


class Service:
    """The provider. `rules` may change the order of a call: each is given it and the key, and returns an order."""

    def __init__(self) -> None:
        self.books = Books()
        self.models = list(MODELS)
        self.rules: list[Callable[[Order, str], Order]] = []
        self.files: dict[str, tuple[dict[str, Any], bytes]] = {}
        self.responses: dict[str, dict[str, Any]] = {}
        self.count = 0
        self.now = 0  # calls under way

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("socket")
        if peer is not None:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(asyncio.CancelledError):  # the provider is closed
            await Connection(self, reader, writer).run()

    async def serve(self, connection: Connection, request: Request) -> None:
        if request.path.startswith("/-/"):
            await self._about_itself(connection, request)
            return
        self.count += 1
        key = request.key()
        if self.books.keep_arrivals:
            target = request.path + (f"?{request.query}" if request.query else "")
            self.books.arrivals.append(Arrival(request.method, target, request.fields, request.body, key))
        dialect = dialect_of(request)
        if not key or key.startswith(REFUSED_KEYS):
            await self._refuse(connection, "auth", dialect, [])
            return
        self.now += 1
        try:
            if request.method == "POST" and not request.path.endswith(("/files", "/cancel")):
                await self._call(connection, request, dialect, key)
            else:
                await self._resource(connection, request, dialect)
        finally:
            self.now -= 1

    async def _refuse(self, connection: Connection, name: str, dialect: str, fields: list[tuple[str, str]],
                      status: int = 0) -> None:  # fmt: skip
        request_id = f"req_{token(str(self.count), 24)}"
        own = [*common(dialect, request_id), *fields_of(name, dialect, request_id), *fields]
        body = encoded(name, dialect, request_id)
        await connection.answer(status or status_of(name, dialect), [("Content-Type", "application/json"), *own], body)

    async def _call(self, connection: Connection, request: Request, dialect: str, key: str) -> None:
        """A call to a model: what it orders is read, and done."""
        try:
            found = speaker(request.path, request.query, request.fields.get("content-type", ""), request.body)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            await self._refuse(connection, "invalid", dialect, [])
            return
        if found is None or found.asked.model.startswith("missing"):
            await self._refuse(connection, "not_found", dialect, [])
            return
        said = reply(found.asked, self.count)
        order = said.order
        self.books.tries[said.id] += 1
        if (order.times and self.books.tries[said.id] > order.times) or (order.keys and key not in order.keys):
            order = order.righted()
        for rule in self.rules:
            order = rule(order, key)
        said.order = order
        bill = Bill(said.id, dialect, found.asked.endpoint, found.asked.model, key, found.asked.stream, 200)
        self.books.bills.append(bill)
        try:
            await self._do(connection, found, said, bill)
        except (Lost, OSError):
            connection.keep = False
        finally:
            bill.ended = bill.ended or "gone"

    async def _do(self, connection: Connection, found: Speaker, said: Reply, bill: Bill) -> None:
        order = said.order
        if order.first_s:
            await asyncio.sleep(order.first_s)
        stream = found.asked.stream and found.events is not None
        early = order.after is None or (order.error and not stream)
        if order.wrong() and early and order.fault != "truncate":
            await self._fail(connection, found, said, bill)
            return
        request_id = f"req_{token(str(self.count), 24)}"
        fields = [*common(found.asked.dialect, request_id), *order.fields]
        if stream:
            await connection.head(200, [("Content-Type", found.stream_kind), *fields], None)
            bill_input(bill, said)
            await Stream(connection, found, said, bill, request_id).run()
            return
        body = found.whole(found.asked, said)
        bill_input(bill, said)
        bill.output, bill.thoughts = said.output, len(said.thoughts)
        if found.asked.endpoint == "responses":
            self.responses[json.loads(body)["id"]] = json.loads(body)
        if order.fault == "truncate":
            # Its length is right and its JSON is not.
            body = body[: len(body) // 2]
        if order.wrong() and order.fault != "truncate":
            # A part of the body, and then nothing more.
            await connection.head(200, [("Content-Type", found.kind), *fields], len(body))
            await connection.send(body[: len(body) // 2])
            await self._fail(connection, found, said, bill)
            return
        await connection.answer(200, [("Content-Type", found.kind), *fields], body)
        bill.ended = order.fault or "whole"

    async def _fail(self, connection: Connection, found: Speaker, said: Reply, bill: Bill) -> None:
        """What goes wrong before an answer, or within one that is no stream."""
        order = said.order
        bill.ended = order.error or order.fault
        if order.error:
            bill.status = order.status or status_of(order.error, found.asked.dialect)
            fields = list(order.fields)
            if order.retry_after:
                fields.append(("Retry-After", order.retry_after))
            await self._refuse(connection, order.error, found.asked.dialect, fields, order.status)
            return
        bill.status = 0
        match order.fault:
            case "stall" | "lockstep":
                await connection.gone()
            case "reset":
                await connection.reset()
            case _:
                connection.keep = False

    async def _resource(self, connection: Connection, request: Request, dialect: str) -> None:
        """What is no call to a model: lists of models, files, stored responses."""
        path, fields = request.path, [("Content-Type", "application/json"), *common(dialect, "req_0")]
        name = path.rpartition("/")[2]
        body: Any = None
        if path.endswith("/models"):
            body = MODEL_LISTS[dialect](self.models)
        elif "/models/" in path and dialect == "openai":
            body = openai_rest.model(name) if name in self.models else None
        elif path.endswith("/files"):
            body = self._files(request)
        elif path.endswith("/content") and (kept := self.files.get(path.split("/")[-2])):
            await connection.answer(200, [("Content-Type", "application/octet-stream")], kept[1])
            return
        elif "/files/" in path and name in self.files:
            body = self.files[name][0]
            if request.method == "DELETE":
                del self.files[name]
                body = {"id": name, "object": "file", "deleted": True}
        elif "/responses/" in path:
            body = self.responses.get(name)
            if body is not None and request.method == "DELETE":
                del self.responses[name]
                body = {"id": name, "object": "response", "deleted": True}
        if body is None:
            await self._refuse(connection, "not_found", dialect, [])
            return
        await connection.answer(200, fields, indented(body))

    def _files(self, request: Request) -> dict[str, Any]:
        if request.method == "POST":
            given = form(request.fields.get("content-type", ""), request.body)
            filename, content = given["file"]
            made = openai_rest.file(self.count, filename, given["purpose"], content)
            self.files[made["id"]] = (made, content)
            return made
        rows = [row for row, _ in self.files.values()]
        return {"object": "list", "data": rows, "has_more": False}

    async def _about_itself(self, connection: Connection, request: Request) -> None:
        """For tests that have it in another process: its books, and how many calls are under way."""
        answers: dict[str, Callable[[], Any]] = {
            "/-/books": self.books.rows,
            "/-/now": lambda: self.now,
            "/-/keys": lambda: sorted({arrival.key for arrival in self.books.arrivals}),
        }
        await connection.answer(
            200, [("Content-Type", "application/json")], json.dumps(answers[request.path]()).encode()
        )


MODEL_LISTS: dict[str, Callable[[list[str]], dict[str, Any]]] = {
    "openai": openai_rest.models,
    "anthropic": anthropic.models,
    "gemini": gemini.models,
}


def dialect_of(request: Request) -> str:
    """Whose API a request is for: by its path, or by the fields that only one has."""
    path = request.path
    if "/model/" in path:
        return "bedrock"
    if "x-goog-api-key" in request.fields or "/v1beta/models" in path:
        return "gemini"
    if "anthropic-version" in request.fields or path.endswith(("/messages", "/count_tokens")):
        return "anthropic"
    return "openai"


def common(dialect: str, request_id: str) -> list[tuple[str, str]]:
    """Fields that every answer of a provider has."""
    match dialect:
        case "anthropic":
            return [
                ("request-id", request_id), ("anthropic-organization-id", "6b0ad5d8-0001"), ("Server", "cloudflare"),
                ("anthropic-ratelimit-requests-limit", "4000"), ("anthropic-ratelimit-requests-remaining", "3999"),
                ("anthropic-ratelimit-requests-reset", "2026-11-25T18:00:01Z"), ("cf-cache-status", "DYNAMIC"),
            ]  # fmt: skip
        case "gemini":
            return [("Vary", "Origin"), ("Server", "scaffolding on HTTPServer2"), ("X-Frame-Options", "SAMEORIGIN")]
        case "bedrock":
            return [("x-amzn-RequestId", request_id)]
        case _:
            return [
                ("openai-organization", "org-provider"), ("openai-processing-ms", "412"),
                ("openai-version", "2020-10-01"), ("x-request-id", request_id), ("Server", "cloudflare"),
                ("x-ratelimit-limit-requests", "10000"), ("x-ratelimit-remaining-requests", "9999"),
                ("x-ratelimit-reset-requests", "6ms"), ("x-ratelimit-limit-tokens", "200000"),
                ("x-ratelimit-remaining-tokens", "199967"), ("x-ratelimit-reset-tokens", "9ms"),
                ("set-cookie", "__cf_bm=provider; path=/; HttpOnly; Secure"),
            ]  # fmt: skip


def bill_input(bill: Bill, said: Reply) -> None:
    """The input is billed when the answer begins."""
    bill.input, bill.cached, bill.written = said.input, said.cached, said.written


class Stream:
    """One streamed answer, as its order wants it sent. An event is billed before its last byte is."""

    def __init__(self, connection: Connection, found: Speaker, said: Reply, bill: Bill, request_id: str) -> None:
        self.connection = connection
        self.found = found
        self.said = said
        self.bill = bill
        self.request_id = request_id
        self.order = said.order
        self.number = 0

    async def run(self) -> None:
        order, connection = self.order, self.connection
        assert self.found.events is not None
        glued = b""
        for event in self.found.events(self.found.asked, self.said):
            if order.wrong() and self.bill.output + event.tokens > (order.after or 0) and event.tokens:
                await self._fail(glued, event)
                return
            self.number += 1
            self._count(event)
            if connection.is_gone():
                raise Lost
            if order.glue:
                glued += event.data
                continue
            await connection.part(event.data, order.split)
            if order.pace_s:
                await asyncio.sleep(order.pace_s)
        if order.fault in {"close", "stall", "lockstep", "reset"}:
            await self._fail(glued, Event(b""))
            return
        if glued:
            await connection.part(glued + self.found.end, order.split)
        elif self.found.end:
            await connection.part(self.found.end, order.split)
        await connection.send(b"0\r\n\r\n")
        self.bill.ended = "whole"

    def _count(self, event: Event) -> None:
        self.bill.output += event.tokens
        self.bill.thoughts += event.thoughts

    async def _fail(self, glued: bytes, event: Event) -> None:
        order, connection = self.order, self.connection
        if glued:
            await connection.part(glued, order.split)
        if order.error:
            self.bill.ended = order.error
            await connection.part(error_event(order.error, self.found, self.request_id, self.number), order.split)
            await connection.send(b"0\r\n\r\n")
            return
        self.bill.ended = order.fault
        match order.fault:
            case "stall" | "lockstep":
                await connection.gone()
                self.bill.ended = "gone"
            case "reset":
                await connection.reset()
            case "truncate":
                await connection.part(event.data[: len(event.data) // 2])
                await connection.send(b"0\r\n\r\n")
            case "close":
                # An end in order, and neither [DONE] nor a last event.
                await connection.send(b"0\r\n\r\n")
            case _:
                connection.keep = False


def spoken(found: Speaker, said: Reply) -> bytes:
    """A whole answer as it is sent where nothing goes wrong but an error in its midst."""
    if not found.asked.stream or found.events is None:
        return found.whole(found.asked, said)
    whole, sent = b"", 0
    for number, event in enumerate(found.events(found.asked, said)):
        if said.order.error and sent + event.tokens > (said.order.after or 0):
            return whole + error_event(said.order.error, found, "req_0001", number)
        whole += event.data
        sent += event.tokens
    return whole + found.end

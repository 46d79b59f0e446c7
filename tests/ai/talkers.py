"""Decides what callers of a reconciliation do on the wire, and what they read of it: heads, bodies, events, tokens."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import orjson
from mixed import Call

COST = re.compile(rb"fastgw cost=([0-9.]+)")
TIMEOUT_S = 30.0
TRIES = 200


def nanos(amount: str) -> int:
    """Decimal money as nanos."""
    units, _, rest = amount.partition(".")
    return int(units) * 10**9 + int(rest.ljust(9, "0") or 0)


def deltas(caller: str, event: dict[str, Any]) -> Iterator[str]:
    """The words that an event of a stream adds."""
    if caller == "chat":
        for choice in event.get("choices", ()):
            delta = choice["delta"]
            yield delta.get("content") or delta.get("reasoning_content") or ""
    elif caller == "responses":
        if event["type"] in {"response.output_text.delta", "response.reasoning_summary_text.delta"}:
            yield event["delta"]
    elif event["type"] == "content_block_delta":
        yield event["delta"].get("text") or event["delta"].get("thinking") or ""


def said(caller: str, body: dict[str, Any]) -> str:
    """The words of a whole answer, without what it thought."""
    match caller:
        case "chat":
            return body["choices"][0]["message"]["content"] or ""
        case "responses":
            return " ".join(
                part["text"] for item in body["output"] if item["type"] == "message" for part in item["content"]
            )
        case _:
            return " ".join(block["text"] for block in body["content"] if block["type"] == "text")


def code_of(body: dict[str, Any]) -> str:
    """The code of an error, whoever made it."""
    error = body.get("error") or {}
    return str(error.get("code") or error.get("type") or "") if isinstance(error, dict) else str(error)


class Line:
    """A kept connection of one caller, opened anew where it has ended."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        for _ in range(TRIES):
            if self.reader is not None and self.writer is not None:
                return self.reader, self.writer
            try:
                self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:  # nobody listens: the supervisor was killed
                await asyncio.sleep(0.05)
        raise ConnectionError("nobody listens")

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None

    async def ask(self, call: Call, key: str, paused: Callable[[], Awaitable[None]] | None = None) -> None:
        """Make a call and note in it what comes back. `paused` is awaited when a stream that is to be aborted has
        come as far as it comes; then the caller hangs up."""
        body = call.body()
        fields = f"Authorization: Bearer {key}" if call.caller != "messages" else f"x-api-key: {key}"
        head = (
            f"POST {call.path} HTTP/1.1\r\nHost: api.example\r\n{fields}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode()
        try:
            reader, writer = await self.open()
            writer.write(head + body)
            async with asyncio.timeout(TIMEOUT_S):
                await self._answer(reader, call, paused)
        except TimeoutError:
            call.trouble.append(
                f"nothing more came within {TIMEOUT_S} s, after status {call.status} and {call.tokens} tokens"
            )
            self.close()
        except (asyncio.IncompleteReadError, OSError):
            self.close()

    async def _answer(
        self, reader: asyncio.StreamReader, call: Call, paused: Callable[[], Awaitable[None]] | None
    ) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        call.status = int(head[9:12])
        fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        if cost := fields.get("x-fastgw-cost"):
            call.cost = nanos(cost)
        if "content-length" in fields:
            body = await reader.readexactly(int(fields["content-length"]))
            self._whole(call, orjson.loads(body))
        elif await self._stream(reader, call):
            if paused is not None:
                await paused()
            self.close()
            return
        if fields.get("connection") == "close":
            self.close()

    def _whole(self, call: Call, body: dict[str, Any]) -> None:
        if call.status != 200:
            call.code = code_of(body)
            return
        call.whole = True
        call.tokens = len(said(call.caller, body).split())

    async def _stream(self, reader: asyncio.StreamReader, call: Call) -> bool:
        """Read events to their end; true where the caller is to hang up before."""
        rest = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            rest += (await reader.readexactly(size + 2))[:-2]
            *events, rest = rest.replace(b"\r\n", b"\n").split(b"\n\n")
            for event in events:
                self._event(call, event)
            if call.aborted is not None and call.tokens >= call.aborted:
                return True
        await reader.readexactly(2)
        return False

    def _event(self, call: Call, event: bytes) -> None:
        if match := COST.search(event):
            call.cost = nanos(match[1].decode())
        data = b"".join(line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:"))
        if data == b"[DONE]":
            call.whole = True
        elif data:
            found = orjson.loads(data)
            kind = found.get("type", "")
            if found.get("error"):
                call.code = code_of(found)
            elif kind == "error":
                call.code = str(found.get("code"))
            call.whole |= kind in {"message_stop", "response.completed", "response.incomplete"}
            call.tokens += sum(len(words.split()) for words in deltas(call.caller, found))

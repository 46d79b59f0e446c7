"""Decides what a call with an Idempotency-Key looks like in these tests, and what its upstream does."""

from __future__ import annotations

import itertools
import threading
import time

from .client import Answer, Client
from .configs import KEY
from .oracle import Oracle, Script, Talk
from .rig import eventually

_numbers = itertools.count(1)
CHUNKED = b"Transfer-Encoding: chunked"


def new_key() -> bytes:
    """An Idempotency-Key that no test has used."""
    return b"%d-%d" % (time.time_ns(), next(_numbers))


def call(
    target: str, key: bytes, body: bytes = b"hello", *fields: bytes, method: bytes = b"POST", caller: str = KEY
) -> bytes:
    """A request with a key; the body has a length, unless the fields say that it is in chunks."""
    if CHUNKED not in fields:
        fields = (*fields, b"Content-Length: %d" % len(body))
    lines = b"".join(field + b"\r\n" for field in fields)
    identity = f"Host: wire\r\nAuthorization: Bearer {caller}\r\n".encode()
    return b"%b /%b HTTP/1.1\r\n" % (method, target.encode()) + identity + (
        b"Idempotency-Key: %b\r\n%b\r\n" % (key, lines) + body
    )  # fmt: skip


def ask(client: Client, data: bytes, method: str = "POST") -> Answer:
    client.send(data)
    return client.read(method)


def replayed(answer: Answer) -> bool:
    return answer.all("idempotency-replayed") == ["true"]


def code(answer: Answer) -> str:
    """The refusal's code."""
    return answer.body.decode().partition('"code":"')[2].partition('"')[0]


def counting() -> Script:
    """A script whose answers all differ."""
    numbers = itertools.count(1)

    def script(talk: Talk) -> None:
        body = talk.read_body()
        talk.answer(201, b"%d:%b" % (next(numbers), body), "X-Kind: made")

    return script


def stuck(go: threading.Event, script: Script) -> Script:
    """The script, once `go` is set; the end if that takes too long."""

    def wait(talk: Talk) -> None:
        if go.wait(5):
            script(talk)
        else:
            talk.close()

    return wait


def arrived(oracle: Oracle, name: str) -> bool:
    """Wait until one request with the name has come to the upstream."""
    return eventually(lambda: len(oracle.named(name)) == 1)

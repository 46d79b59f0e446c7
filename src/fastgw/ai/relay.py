"""Decides what the gateway must know of a call to a model, and of the answer on its way to the caller.

`Asked` is what a request comes to, before anything is chosen; a `Relay` lies between one provider's answer and the
caller, and is asked for no I/O: bytes in, bytes out. How they are made is for `calls`.
"""

from __future__ import annotations

from msgspec import Struct

from .canonical import Failure
from .usage import Usage


class Asked(Struct):
    """What a caller asks for, as far as money and routing go.

    `input_tokens` is an estimate that errs upwards, and is held for; `likely_tokens` what the input comes to most
    likely, and is charged where the provider never tells. `max_tokens` is what the caller lets be generated in all
    choices together, 0 where it does not say, or where the endpoint generates none (embeddings, images).
    """

    operation: str  # the name of a row of operations.TABLE
    model: str
    stream: bool
    input_tokens: int
    max_tokens: int
    usage: Usage  # what is known of the cost beforehand, of endpoints that are not paid by generated tokens
    likely_tokens: int = 0


class Sent(Struct):
    """A request as a provider wants it; the head is for the exchange to make. `fields` are header lines of its own."""

    path: str  # with the query, below the provider's base path
    body: bytes
    fields: bytes
    relay: Relay


class Portion(Struct):
    """Bytes for the caller that belong together, and by how many tokens of output, estimated, they are more."""

    data: bytes
    tokens: int


class Relay:
    """What becomes of one answer. `usage` is None until the provider has told it; `relayed` counts the tokens of
    output, estimated, in all that has been handed out; `content_type` is of what the caller gets."""

    content_type: bytes = b"application/json"

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.relayed = 0
        self.ended = False  # the answer is whole: a stream that stops before that was cut
        self.failure: Failure | None = None  # what the provider has said in the middle of a stream

    def whole(self, body: bytes) -> bytes:
        """The body for the caller, of a provider's whole one that succeeded. ValueError: it makes no sense."""
        raise NotImplementedError

    def failed(self, status: int, body: bytes) -> tuple[Failure, bytes]:
        """What a provider's error means, and the caller's body for it."""
        raise NotImplementedError

    def feed(self, data: bytes) -> list[Portion]:
        """More of a streamed answer, cut where the provider's connection cut it: what the caller gets now.

        ValueError: it makes no sense. A provider's error in mid-stream is handed out as the caller's dialect has it,
        and `failure` says what it was.
        """
        raise NotImplementedError

    def finish(self) -> list[Portion]:
        """The streamed answer has ended: what the caller still gets. `ended` says if it was whole."""
        raise NotImplementedError

    def stop(self, failure: Failure) -> bytes:
        """The end of a stream for the caller, in its dialect, when the gateway ends it because of that."""
        raise NotImplementedError

"""Decides what the gateway must know of a call to a model, and of the answer on its way to the caller.

`Asked` is what a request comes to, before anything is chosen; a `Relay` lies between one provider's answer and the
caller, and is asked for no I/O: bytes in, bytes out. How they are made is for `calls`.
"""

from __future__ import annotations

from .._usage import Usage
from .canonical import Failure


class Asked:
    """What a caller asks for, as far as money and routing go.

    `operation` is the name of a row of operations.TABLE. `input_tokens` errs upwards. `max_tokens` is what the caller
    lets be generated in all `choices` together, 0 where it does not say, or where the operation does not generate;
    `bounded` says that a provider can be told so. `usage` is what is charged where the provider never tells, as far as
    it is known beforehand.
    """

    def __init__(
        self,
        operation: str,
        model: str = "",
        stream: bool = False,
        input_tokens: int = 0,
        max_tokens: int = 0,
        choices: int = 1,
        bounded: bool = True,
        usage: Usage | None = None,
    ) -> None:
        self.operation = operation
        self.model = model
        self.stream = stream
        self.input_tokens = input_tokens
        self.max_tokens = max_tokens
        self.choices = choices
        self.bounded = bounded
        self.usage = usage or Usage()

    @property
    def likely_tokens(self) -> int:
        """What the input comes to without erring on purpose."""
        return self.usage.input


class Sent:
    """A request as a provider wants it; the head is for the exchange to make. `path` is with the query, below the
    provider's base path; `fields` are header lines of its own; `content_type` is b"" where there is no body."""

    def __init__(
        self, path: str, body: bytes, fields: bytes, relay: Relay, content_type: bytes = b"application/json"
    ) -> None:
        self.path = path
        self.body = body
        self.fields = fields
        self.relay = relay
        self.content_type = content_type


class Portion:
    """Bytes for the caller that belong together, and by how many tokens of output, estimated, they are more."""

    def __init__(self, data: bytes, tokens: int) -> None:
        self.data = data
        self.tokens = tokens


class Relay:
    """What becomes of one answer.

    `usage` is the provider's last word, None until then; `known` what it has told on the way. `relayed` counts the
    tokens of output, estimated, in all that has been handed out. `content_type` is of what the caller gets, b"" for
    the provider's own.
    """

    content_type: bytes = b""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.known: Usage | None = None
        self.relayed = 0
        self.ended = False  # the answer is whole: a stream that stops before that was cut
        self.failure: Failure | None = None  # the provider's own, in the middle of its answer

    def charged(self, likely: Usage) -> tuple[Usage, bool]:
        """What has been used, and whether that is an estimate; `likely` is `Asked.usage`."""
        if self.usage is not None:
            return self.usage, False
        known = self.known or likely
        return known.replace(output=max(known.output, self.relayed)), True

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

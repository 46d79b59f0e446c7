"""Decides what calls to models are tested with: a plane on a segment of its own, and providers that do as told."""

from __future__ import annotations

import json
import struct
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgspec
from ports import free_port

from fastgw._segment import Segment
from fastgw.config.fields import Report, dotted
from fastgw.config.load import load
from fastgw.config.prompts import read_prompts
from fastgw.model import Candidate, Config, Model, Price, Provider, Rate, Route, Secret
from fastgw.refusals import Refusal

from .client import Answer, Client
from .oracle import Oracle, Script, Talk
from .rig import RECORD_BYTES, STATUS, Host, eventually
from .tunnelling import BYTES_IN, BYTES_OUT, COST, SLOTS, VERDICT, Account, resident_bytes

MILLION = 1_000_000
CALL = 500  # nanos of a call to /v1/
INPUT, CACHED, OUTPUT, REASONING = 10, 1, 1_000, 1_500  # nanos of a token of each kind
PRICE = Price(
    input=INPUT * MILLION, cached=CACHED * MILLION, output=OUTPUT * MILLION, reasoning=OUTPUT * MILLION,
)  # fmt: skip
DEAR = Price(input=2 * INPUT * MILLION, output=2 * OUTPUT * MILLION, reasoning=2 * OUTPUT * MILLION)
EPOCH = 64  # of the segment's clock, in its header
DONE = b"data: [DONE]\n\n"


def _models(times: int) -> tuple[Model, ...]:
    price = Price(**{name: value * times for name, value in msgspec.structs.asdict(PRICE).items() if value})
    main = Candidate("main", "main-1", price)
    spare = Candidate("spare", "spare-1", PRICE, rank=1)
    return (
        Model("plain", (main,), max_tokens=1_000),
        Model("stepping", (main,), max_tokens=1_000, hold_step=50),
        Model("shrinking", (main,), max_tokens=1_000, shrink=True),
        Model("bounded", (main,), max_tokens=100, limit_tokens=200),
        Model("either", (main, spare), max_tokens=100, fallback_on=("connect", "timeout", "401", "429", "5xx")),
        Model("only-busy", (main, spare), max_tokens=100, fallback_on=("429",)),
        Model("dearer", (main, Candidate("spare", "spare-dear", DEAR, rank=1)), max_tokens=100),
        Model("dead-first", (Candidate("dead", "dead-1", PRICE), spare), max_tokens=100),
        Model("dead", (Candidate("dead", "dead-1", PRICE),), max_tokens=100),
        Model("keyed", (Candidate("many", "many-1", PRICE),), max_tokens=100),
        Model("limited", (Candidate("limited", "limited-1", PRICE),), max_tokens=100),
        Model("limited-first", (Candidate("limited", "limited-1", PRICE), spare), max_tokens=100, fallback_on=()),
        Model("gemini", (Candidate("gemini", "gemini-1", PRICE),), max_tokens=100),
        Model("claude", (Candidate("claude", "claude-1", PRICE),), max_tokens=100),
        Model("free", (Candidate("main", "free-1", Price()),), max_tokens=100),
    )


def _provider(name: str, dialect: str = "openai", keys: int = 1, **more: Any) -> Provider:
    secrets = tuple(Secret(f"pk-{name}-{number}") for number in range(keys))
    return Provider(name, dialect, f"/{name}/v1", secrets, **more)


def _route(name: str, path: str, dialect: str, **more: Any) -> Route:
    fields: dict[str, Any] = {
        "hosts": (), "methods": (), "upstream": "", "auth": "key", "price_nanos": 0, "rate": None, "forward_key": False,
        "preserve_host": False, "set_headers": (), "models": ("*",),
    }  # fmt: skip
    return Route(name, path, dialect=dialect, **(fields | more))


PROMPTS = """
[[prompts]]
name = "sum"
model = "plain"
template = "Sum: {{ text }}"
parameters = { temperature = 0.5, max_tokens = 50 }
price = "0.0000005"

[[prompts]]
name = "sum"
version = "2"
current = false
model = "plain"
template = "Child: {{ text }}"

[[prompts]]
name = "title"
model = "plain"
template = "{{ text }}"
price = "0.0000005"
output = { properties = { title = { type = "string" } }, required = ["title"], additionalProperties = false }

[[prompts]]
name = "flat"
model = "plain"
template = "{{ text }}"
price = "0.0003"
tokens = "included"
"""


def config(main: int, dead: int, server: str = "", dearer: int = 1) -> Config:
    """Models by what is tried with them, that cost so many times as much; every provider but the dead one is the
    oracle, told apart by its path."""
    names = ("main", "spare", "many", "limited", "gemini", "claude")
    ports = dict.fromkeys(names, main) | {"dead": dead}
    text = f"[server]\n{server}\n" + "".join(
        f'[[upstreams]]\nname = "{name}"\ntargets = ["http://127.0.0.1:{port}"]\n' for name, port in ports.items()
    )
    text += '[[routes]]\nname = "plain"\npath = "/main/"\nupstream = "main"\n'
    path = Path("/dev/shm") / f"fastgw-wire-models-{main}.toml"
    path.write_text(text)
    base = load(str(path), {}, {})
    path.unlink()
    models = _models(dearer)
    prompts, called = read_prompts(Report(dotted), tomllib.loads(PROMPTS)["prompts"], models)
    return msgspec.structs.replace(
        base,
        routes=(
            *base.routes,
            _route("ai", "/v1/", "openai", price_nanos=CALL),
            _route("ai", "/v1/messages", "anthropic", price_nanos=CALL),
            _route("always", "/always/", "openai", price_nanos=CALL, charge="always"),
            _route("once", "/once/", "openai", price_nanos=CALL, idempotency_window_ms=60_000),
            _route("few", "/few/", "openai", models=("plain",)),
            _route("open", "/open/", "openai", auth="none"),
            *(route for _, route in called),
        ),
        providers=(
            _provider("main", operations=("embeddings", "speech", "files")), _provider("spare"),
            _provider("many", keys=3), _provider("claude", "anthropic", key_header="x-api-key", key_scheme=""),
            _provider("limited", keys=2, rate=Rate(3, 60 * 10**9, 3), token_rate=Rate(300, 60 * 10**9, 300)),
            _provider("gemini", "gemini", key_header="x-goog-api-key", key_scheme=""), _provider("dead"),
        ),
        models=models,
        prompts=prompts,
    )  # fmt: skip


class Row(NamedTuple):
    """A record of the journal, as far as it is about a call to a model."""

    status: int
    verdict: Refusal
    cost: int
    bytes_in: int
    bytes_out: int


class Stand:
    """A plane, its segment, and the providers behind it."""

    def __init__(self, segment: Segment, oracle: Oracle, where: tuple[Path, Path | None], server: str = "") -> None:
        self.segment = segment
        self.oracle = oracle
        self.slot = SLOTS[0]
        self.dead = free_port()
        self.where = where
        self.host = self.beside(self.slot, server)

    def beside(self, slot: int, server: str = "") -> Host:
        """A plane on the same segment, as the worker of that slot."""
        owner: Any = SimpleNamespace(segment=self.segment)
        return Host(owner, config(self.oracle.port, self.dead, server), *self.where, slot)

    def later(self, ms: int) -> None:
        """So much time goes by for what the segment and the tables beside it know."""
        with open(self.segment.path, "r+b") as file:
            file.seek(EPOCH)
            [epoch_ns] = struct.unpack("<Q", file.read(8))
            file.seek(EPOCH)
            file.write(struct.pack("<Q", (epoch_ns - ms * 1_000_000) % 2**64))

    def account(self, tokens: int = 10**9, input_tokens: int = 0) -> Account:
        """A new one with the money for a call with so many tokens of output, and a key."""
        owner: Any = self
        return Account(owner, CALL + input_tokens * INPUT + tokens * OUTPUT)

    @contextmanager
    def serving(self, **scripts: Script) -> Iterator[None]:
        """What each provider does, by its name, in this block."""
        before = dict(self.oracle.scripts)
        self.oracle.scripts.update(scripts)
        try:
            yield
        finally:
            self.oracle.scripts = before

    def connect(self, receive_buffer: int = 0) -> Client:
        return self.host.connect(receive_buffer)

    def host_memory(self) -> int:
        return resident_bytes(self.host.process.pid)

    @property
    def written(self) -> int:
        return self.segment.journal_written(self.slot)

    def uncovered(self, name: str) -> int:
        """Nanos that calls of the model have cost beyond what could be held, ever."""
        return self.segment.model_counts(self.slot).get(self.segment.models().index(name) + 1, (0,))[-1]

    def gauges(self) -> tuple[int, int]:
        """Calls and connections of clients that are open."""
        worker = self.segment.worker(self.slot)
        return worker["exchanges"], worker["clients"]

    @contextmanager
    def row(self) -> Iterator[list[Row]]:
        """What the one call that ends in this block leaves in the journal."""
        first = self.written
        found: list[Row] = []
        yield found
        assert eventually(lambda: self.written > first)
        data, _, _ = self.segment.journal(self.slot, first)
        for at in range(0, len(data), RECORD_BYTES):
            record = data[at : at + RECORD_BYTES]
            found.append(
                Row(
                    int.from_bytes(record[STATUS], "little"), Refusal(record[VERDICT]),
                    *(int.from_bytes(record[part], "little") for part in (COST, BYTES_IN, BYTES_OUT)),
                )
            )  # fmt: skip
        assert len(found) == 1, found


def body(model: str = "plain", **more: Any) -> bytes:
    return json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}], **more}).encode()


def ask(account: Account, data: bytes, *lines: str, path: str = "/v1/chat/completions", method: str = "POST") -> bytes:
    """A request with that body."""
    head = f"{method} {path} HTTP/1.1\r\nHost: wire\r\nAuthorization: Bearer {account.key}\r\n"
    head += "".join(f"{line}\r\n" for line in lines)
    if data:
        head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
    return head.encode() + b"\r\n" + data


def whole(tokens_in: int = 7, tokens_out: int = 20, cached: int = 0, *fields: str, status: int = 200) -> Script:
    """A script that answers with so many tokens."""
    answer = {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "main-1",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": tokens_in + tokens_out,
            "prompt_tokens_details": {"cached_tokens": cached},
        },
    }  # fmt: skip

    def script(talk: Talk) -> None:
        talk.read_body()
        talk.answer(status, json.dumps(answer).encode(), "Content-Type: application/json", *fields)

    return script


def event(text: str = "tok ", **more: Any) -> bytes:
    """One token of a streamed answer."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    chunk = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "main-1",
        "choices": [choice],
    }
    return b"data: " + json.dumps(chunk | more).encode() + b"\n\n"


def usage(tokens_in: int, tokens_out: int) -> bytes:
    """The event that tells it."""
    told = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": tokens_in + tokens_out}
    return event(choices=[], usage=told)


STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def stream(count: int = 10, tokens_in: int = 7, told: bool = True) -> Script:
    """A script that streams so many tokens, one in a write, and then what it has used."""

    def script(talk: Talk) -> None:
        talk.read_body()
        talk.send(STREAM)
        for _ in range(count):
            talk.send(chunk(event()))
        talk.send(chunk((usage(tokens_in, count) if told else b"") + DONE))
        talk.send(b"0\r\n\r\n")

    return script


def tokens_of(answer: Answer | bytes) -> int:
    data = answer if isinstance(answer, bytes) else answer.body
    return data.count(b'"tok "')


def told(answer: Answer | bytes) -> dict[str, str]:
    """What the comment at a stream's end says."""
    data = answer if isinstance(answer, bytes) else answer.body
    [line] = [line for line in data.split(b"\n") if line.startswith(b": fastgw ")]
    return dict(pair.split("=") for pair in line.decode()[9:].split())


@contextmanager
def stand(directory: Path, package: Path | None, memory: Path, server: str = "") -> Iterator[Stand]:
    with ExitStack() as stack:
        segment = Segment.create(
            str(memory / "segment"), secret=bytes(32), keys_max=1024, accounts_max=1024, routes_max=16,
            journal_records=1 << 12,
        )  # fmt: skip
        oracle = stack.enter_context(Oracle())
        started = Stand(segment, oracle, (directory, package), server)
        with started.host:
            yield started

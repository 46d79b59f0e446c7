"""Decides what a fake model says to a call: what the call itself orders, in JSON within its last words to the model.

`Order(say=40, id="call-7").text()` is a message; it survives every translation between dialects, since to all of them
it is only text. A call without an order is answered in a few words.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

MARK = "order: "
GREETING = ("Hello", " there", ",", " how", " may", " I", " help", "?")
IMAGE_TOKENS = 85


@dataclass(frozen=True)
class Order:
    """What is to happen, in tokens where it counts something; what is left out happens as usual."""

    id: str = ""  # by which the books know the call; else one is made up
    say: int | None = None  # tokens of text: "w0 w1 w2 …"
    text: str | None = None  # or this text, a word a token
    word: str = ""  # or `say` times this word
    think: int = 0  # tokens of reasoning, before the text
    shown: bool | None = None  # whether they are sent; None: as the dialect's own models do
    call: tuple[dict[str, Any], ...] = ()  # tools called: {"name": …, "arguments": {…}}
    refuse: bool = False  # the text is a refusal
    finish: str = ""  # "length" or "filter" instead of what follows from the rest
    input: int | None = None  # tokens of the whole input; else a word is one, an image 85
    cached: int = 0  # of them, read from a cache
    written: int = 0  # of them, written to a cache
    usage: str = "right"  # or "none", "wrong" (of another type), "null"
    # What goes wrong
    error: str = ""  # one of `mishaps.ERRORS`, instead of an answer, or after `after` tokens
    status: int = 0  # of the error, if not its own
    retry_after: str = ""
    fault: str = ""  # "reset", "stall", "close", "truncate", "lockstep", after `after` tokens
    after: int | None = None  # tokens sent before the error or fault; None: not even a head
    times: int = 0  # only the first so many calls of this id go wrong; 0: all
    keys: tuple[str, ...] = ()  # only calls with these keys go wrong; none: all
    # How it is sent
    per_chunk: int = 1  # tokens in an event
    split: int = 0  # bytes in a write; 0: an event is one
    glue: bool = False  # all events in one write
    first_s: float = 0.0  # before the head
    pace_s: float = 0.0  # between events
    fields: tuple[tuple[str, str], ...] = ()  # added to the head of the answer

    def text_of(self) -> str:
        """The order as words to a model."""
        said = {
            name: value
            for name, value in asdict(self).items()
            if value != getattr(NOTHING, name)
        }  # fmt: skip
        return MARK + json.dumps(said, separators=(",", ":"))

    def with_(self, **changes: Any) -> Order:
        return replace(self, **changes)

    def wrong(self) -> bool:
        return bool(self.error or self.fault)

    def righted(self) -> Order:
        """The same order, and nothing goes wrong."""
        return replace(self, error="", fault="", status=0, retry_after="", after=None)


NOTHING = Order()
NAMES = {field.name for field in fields(Order)}


def order(**what: Any) -> str:
    """The words that order so."""
    return Order(**what).text_of()


def read(words: str) -> Order:
    """The last order among `words`; one without any wishes if there is none."""
    at = words.rfind(MARK)
    if at < 0:
        short = re.search(r"\bsay (\d+) tokens\b", words)
        return Order(say=int(short[1])) if short else NOTHING
    said, _ = json.JSONDecoder().raw_decode(words, at + len(MARK))
    for name in ("call", "keys"):
        said[name] = tuple(said.get(name, ()))
    said["fields"] = tuple((name, value) for name, value in said.get("fields", ()))
    return Order(**said)


@dataclass
class Asked:
    """What a request in any dialect comes to: what a fake model needs of it."""

    dialect: str
    endpoint: str
    model: str
    words: str = ""  # the last of the caller's own words
    everything: str = ""  # all text
    images: int = 0
    stream: bool = False
    cap: int | None = None  # most tokens of output
    tools: tuple[dict[str, Any], ...] = ()  # {"name", "schema"}
    must_call: bool = False
    tool_said: str | None = None  # the result of a tool, if it is what came last
    schema: dict[str, Any] | None = None  # what the text has to fit
    body: dict[str, Any] | None = None  # the request itself


@dataclass
class Reply:
    """What the model says. Counts are in tokens; `input` holds `cached` and `written`, `output` holds `thoughts`."""

    id: str
    thoughts: tuple[str, ...]
    shown: bool | None
    words: tuple[str, ...]
    calls: tuple[tuple[str, tuple[str, ...]], ...]  # name, arguments in pieces
    refusal: bool
    finish: str  # "stop", "length", "tools", "filter"
    input: int
    cached: int
    written: int
    order: Order

    @property
    def output(self) -> int:
        return len(self.thoughts) + len(self.words) + sum(len(pieces) for _, pieces in self.calls)

    @property
    def said(self) -> str:
        return "".join(self.words)

    @property
    def thought(self) -> str:
        return "".join(self.thoughts)

    def arguments(self) -> list[tuple[str, str]]:
        """The tools called: names and arguments, whole."""
        return [(name, "".join(pieces)) for name, pieces in self.calls]


def pieces_of(text: str, size: int = 6) -> tuple[str, ...]:
    """A text of JSON in pieces of a few characters."""
    return tuple(text[at : at + size] for at in range(0, len(text), size))


def words_of(text: str) -> tuple[str, ...]:
    """A text as tokens that make it up again."""
    return tuple(re.findall(r"\s*\S+|\s+$", text))


def instance(schema: dict[str, Any], root: dict[str, Any] | None = None) -> Any:
    """Something that fits a JSON Schema."""
    root = root or schema
    if "$ref" in schema:
        return instance(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return instance(schema[several][0], root)
    if "enum" in schema:
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    kind = schema.get("type", "object")
    match kind[0] if isinstance(kind, list) else kind:
        case "object" | "OBJECT":
            return {name: instance(part, root) for name, part in schema.get("properties", {}).items()}
        case "array" | "ARRAY":
            return [instance(schema["items"], root)] if "items" in schema else []
        case "integer" | "INTEGER":
            return 7
        case "number" | "NUMBER":
            return 1.5
        case "boolean" | "BOOLEAN":
            return True
        case "null":
            return None
        case _:
            return "so be it"


def reply(asked: Asked, number: int) -> Reply:
    """What the model says to a request, the `number`th of this provider."""
    order = read(asked.words)
    thoughts = tuple(f"t{n} " for n in range(order.think))
    calls: tuple[tuple[str, tuple[str, ...]], ...] = ()
    words: tuple[str, ...] = ()
    if asked.tool_said is not None:
        words = words_of(f"The tool said: {asked.tool_said}")
    elif order.call or asked.must_call:
        wanted = order.call or (
            {"name": asked.tools[0]["name"], "arguments": instance(asked.tools[0]["schema"])},
        )  # fmt: skip
        calls = tuple(
            (one["name"], pieces_of(json.dumps(one.get("arguments", {}), separators=(",", ":")))) for one in wanted
        )
    if asked.tool_said is None and (not calls or order.say or order.text):
        words = _words(order, asked)
    finish = "tools" if calls else "filter" if order.refuse else "stop"
    if asked.cap is not None and len(thoughts) + len(words) + sum(len(p) for _, p in calls) > asked.cap:
        thoughts, left = thoughts[: asked.cap], max(0, asked.cap - len(thoughts))
        words, left = words[:left], max(0, left - len(words))
        calls, finish = (), "length"
    return Reply(
        id=order.id or f"{number:06d}", thoughts=thoughts, shown=order.shown, words=words, calls=calls,
        refusal=order.refuse, finish=order.finish or finish,
        input=len(asked.everything.split()) + IMAGE_TOKENS * asked.images if order.input is None else order.input,
        cached=order.cached, written=order.written, order=order,
    )  # fmt: skip


def _words(order: Order, asked: Asked) -> tuple[str, ...]:
    if order.text is not None:
        return words_of(order.text)
    if order.say is not None:
        return tuple(order.word or f"w{n} " for n in range(order.say))
    if asked.schema is not None:
        return pieces_of(json.dumps(instance(asked.schema)))
    return ("I", " cannot", " help", " with", " that", ".") if order.refuse else GREETING

"""Decides which calls a reconciliation makes: of every dialect, kind and fault, drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from provider import Order

from fastgw.ai import calls, operations

PROVIDERS = ("openai", "anthropic", "gemini")
CALLERS = {"chat": "chat/completions", "responses": "responses", "messages": "messages"}
CALL = {"name": "weather", "arguments": {"city": "Paris"}}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ABORTED, FAULTY, POOR = 0.10, 0.10, 0.15
PREFACE = "Go by what is ordered here, and by nothing else. " * 10  # an input of a hundred tokens and more
# What may go wrong so that both sides still know what was sent: an order's words for it.
FAULTS: tuple[dict[str, Any], ...] = (
    {"error": "overloaded", "after": 5},
    {"error": "server", "after": 1},
    {"fault": "reset", "after": 4},
    {"fault": "close", "after": 6},
    {"fault": "reset"},
    {"error": "server"},
    {"error": "unavailable"},
    {"usage": "none"},
    {"usage": "wrong"},
)


@dataclass
class Call:
    """One call, and what its caller was told. `aborted` is after how many tokens it hangs up."""

    id: str
    account: str
    caller: str
    model: str
    stream: bool
    order: Order
    cap: int
    tools: bool = False
    aborted: int | None = None
    # What came of it
    status: int = 0
    code: str = ""
    tokens: int = 0  # that the caller has read
    whole: bool = False
    cost: int = -1  # nanos, as it was told
    trouble: list[str] = field(default_factory=list)

    @property
    def path(self) -> str:
        return f"/v1/{CALLERS[self.caller]}"

    def body(self) -> bytes:
        """The request, whose order has as input what the gateway takes its input for: three digits, whichever."""
        body = self._body(self.order.with_(input=100))
        return self._body(self.order.with_(input=likely_tokens(self.caller, body)))

    def _body(self, order: Order) -> bytes:
        said = PREFACE + order.text_of()
        body: dict[str, Any] = {"model": self.model, "stream": self.stream}
        message = [{"role": "user", "content": said}]
        match self.caller:
            case "chat":
                body |= {"messages": message, "max_completion_tokens": self.cap}
                if self.tools:
                    body["tools"] = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]
            case "responses":
                body |= {"input": message, "max_output_tokens": self.cap}
                if self.tools:
                    body["tools"] = [{"type": "function", "name": "weather", "parameters": SCHEMA, "strict": False}]
            case "messages":
                body |= {"messages": message, "max_tokens": self.cap}
                if self.tools:
                    body["tools"] = [{"name": "weather", "input_schema": SCHEMA}]
        return orjson.dumps(body)


def likely_tokens(caller: str, body: bytes) -> int:
    """What the gateway charges of input where a provider does not say."""
    operation = operations.find("POST", CALLERS[caller])
    assert operation is not None
    found = calls.read(operation, CALLERS[caller], "", "application/json", body).asked.likely_tokens
    assert 100 <= found <= 999, f"an input of {found} has another number of digits"
    return found


def draw(seed: int, count: int, rich: list[str], poor: list[str], prefix: str = "") -> Iterator[Call]:
    """`count` calls of these accounts; the rich ones can pay for all of theirs. Ids have `prefix` in them."""
    chance = random.Random(seed)
    for n in range(count):
        caller = chance.choice(tuple(CALLERS))
        model = chance.choice(PROVIDERS)
        if chance.random() < POOR:
            account, say = chance.choice(poor), chance.randint(5, 60)
            order = Order(id=f"{account}/{prefix}{n}", say=say, pace_s=0.001)
            yield Call(order.id, account, caller, model, chance.random() < 0.8, order, cap=say + 10)
            continue
        account = chance.choice(rich)
        yield _rich(chance, f"{account}/{prefix}{n}", account, caller, model)


def _rich(chance: random.Random, name: str, account: str, caller: str, model: str) -> Call:
    say = chance.randint(1, 40)
    kind = chance.random()
    if kind < ABORTED:
        return lockstep(chance, name, account, caller, model)
    if kind < ABORTED + FAULTY:
        fault = dict(chance.choice(FAULTS))
        say += 8
        if "after" not in fault and "usage" not in fault:
            model = "flaky"  # a provider of its own, whom the gateway may leave in peace for it
        # Where it is no stream, a fault of its midst leaves nothing that both sides could know.
        return Call(name, account, caller, model, True, Order(id=name, say=say, **fault), cap=say)
    order = Order(id=name, say=say, per_chunk=chance.choice((1, 1, 1, 3)), split=chance.choice((0, 0, 0, 0, 9)))
    extra = chance.random()
    if extra < 0.2:
        order = order.with_(cached=chance.randint(1, 90), written=chance.choice((0, 5)) if model == "anthropic" else 0)
    elif extra < 0.4:
        order = order.with_(think=chance.randint(1, 20), shown=chance.random() < 0.5)
    elif extra < 0.5:
        return Call(name, account, caller, model, chance.random() < 0.6, order.with_(call=(CALL,), say=None), 100, True)
    elif extra < 0.6:
        return Call(name, account, caller, model, chance.random() < 0.6, order, cap=max(1, say // 2))
    return Call(name, account, caller, model, chance.random() < 0.6, order, cap=200)


def lockstep(chance: random.Random, name: str, account: str, caller: str, model: str) -> Call:
    """A stream whose caller hangs up, or is cut off, after as many tokens as the provider sends before it waits."""
    after = chance.randint(1, 20)
    order = Order(id=name, say=after + 10, fault="lockstep", after=after)
    return Call(name, account, caller, model, True, order, cap=after + 20, aborted=after)

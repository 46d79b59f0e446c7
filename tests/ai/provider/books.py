"""Keeps a fake provider's books: what each call was billed, and every request as it came."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Bill:
    """One call. Tokens: `input` holds `cached` and `written`, `output` holds `thoughts` and is what has been sent."""

    call: str
    dialect: str
    endpoint: str
    model: str
    key: str
    stream: bool
    status: int = 0
    input: int = 0
    cached: int = 0
    written: int = 0
    output: int = 0
    thoughts: int = 0
    # "whole", "gone" (the other end closed), or the error or fault that ended it
    ended: str = ""

    def cost(self, prices: dict[str, int]) -> int:
        """Nanos at `prices`, which are nanos a token: input, cached, written, output, thoughts."""
        plain = self.input - self.cached - self.written
        return (
            plain * prices["input"]
            + self.cached * prices.get("cached", prices["input"])
            + self.written * prices.get("written", prices["input"])
            + (self.output - self.thoughts) * prices["output"]
            + self.thoughts * prices.get("thoughts", prices["output"])
        )


@dataclass
class Arrival:
    """One request as it came; field names in lower case."""

    method: str
    target: str
    fields: dict[str, str]
    body: bytes
    key: str


@dataclass
class Books:
    """All that a provider has seen and billed."""

    bills: list[Bill] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    tries: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))  # by the id of an order
    keep_arrivals: bool = True

    def of(self, call: str) -> list[Bill]:
        """The bills of a call: one for each time that it came."""
        return [bill for bill in list(self.bills) if bill.call == call]

    def one(self, call: str) -> Bill:
        """The only bill of a call."""
        [bill] = self.of(call)
        return bill

    def clear(self) -> None:
        self.bills.clear()
        self.arrivals.clear()
        self.tries.clear()

    def rows(self) -> list[dict[str, Any]]:
        return [asdict(bill) for bill in list(self.bills)]

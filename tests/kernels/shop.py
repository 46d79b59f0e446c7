"""Decides what the tests of claims and quotes call on: one account with every limit there is, and what they hear."""

import time
from typing import Any

import _kernels
import orjson
from kernel_build import make_gate, money

from fastgw._call import Peer
from fastgw._core import Gate
from fastgw._segment import Segment, account_digest
from fastgw.refusals import TABLE, Refusal
from fastgw.rows import PlanRow
from fastgw.states import KeyStatus

PEER = Peer("192.0.2.1", 4711)
HOUR_NS = 3600 * 10**9
REQUEST = b"POST / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer sk\r\n\r\n"
ACME, BUDGET, DAY, MONTH = range(4)  # the account and its meters, as `Shop` makes them
SOON = int(time.time()) + 3600


class Shop:
    """An account with everything that can be had, changed by the tests: plan, quotas, a key with a budget."""

    def __init__(self, segment: Segment, **row: Any) -> None:
        self.segment = segment
        for name, granted in (("acme", 100), ("key_1/budget", 100), ("acme/day", 100), ("acme/month", 100)):
            segment.add_account(account_digest(name), granted, 0)
        self.plan = segment.plan_slot("gold")
        self.plans: list[PlanRow] = [PlanRow(self.plan, None, 100, 100)]
        self.row = {"price_nanos": 30} | row
        self.spoiled: dict[str, int] = {}
        self.key = segment.add_key(segment.digest(b"sk"), ACME, 0, KeyStatus.ACTIVE, 0)

    def gate(self, worker: int = 0) -> Gate:
        return make_gate(self.segment, worker, self.row, plans=self.plans)

    def terms(self, **terms: Any) -> None:
        self.segment.set_terms(ACME, **({"plan": self.plan} | terms))

    def spoil(self, **terms: int) -> None:
        """Add to what is wrong with the account; its day has no calls left."""
        self.segment.set_granted(DAY, 0)
        self.spoiled |= terms
        self.terms(**self.spoiled)

    def expire(self) -> None:
        self.segment.set_key(self.key, ACME, 0, KeyStatus.ACTIVE, 1, BUDGET)

    def budget(self, nanos: int, expires_s: int = 0) -> None:
        self.segment.set_granted(BUDGET, nanos)
        self.segment.set_terms(BUDGET, expires_s=expires_s)
        self.segment.set_key(self.key, ACME, self.segment.key(self.key)["limit"], KeyStatus.ACTIVE, 0, BUDGET)

    def quotas(self, day: int = 100, month: int = 100, resets_s: int = SOON) -> None:
        """Of the window, whatever has been captured before."""
        for meter, limit in ((DAY, day), (MONTH, month)):
            self.segment.set_granted(meter, limit)
            self.segment.set_terms(meter, expires_s=resets_s)
        self.plans = [PlanRow(self.plan, self.plans[0].rate, day, month)]
        self.terms(day=DAY, month=MONTH)

    def books(self) -> Any:
        return (
            [money(self.segment, index) for index in range(4)],
            _kernels.bucket_words(self.segment, 0, self.key),
            _kernels.account_bucket(self.segment, ACME),
        )


def decide(gate: Gate) -> Refusal:
    assert gate.begin(REQUEST, 0, len(REQUEST)) == 0
    return Refusal(gate.decide(PEER))


def body(gate: Gate, verdict: Refusal) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads(gate.refuse(verdict, False).partition(b"\r\n\r\n")[2])
    return document


def refused(gate: Gate, verdict: Refusal) -> dict[str, Any]:
    """The body's numbers, once the call was refused like that."""
    assert decide(gate) is verdict
    document = body(gate, verdict)
    assert document["code"] == verdict.name.lower()
    return {number.name.lower(): document[number.name.lower()] for number in TABLE[verdict].numbers}

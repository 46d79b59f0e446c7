"""A record means to numpy what it means to the compiled core that wrote it."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import KnownNames

from fastgw import refusals
from fastgw._call import Peer
from fastgw._core import Gate
from fastgw._segment import RECORD_BYTES, WORKERS, Segment, account_digest
from fastgw.calllog import CallLog, LogSettings
from fastgw.calllog.records import METHODS, RECORD, WORKERS_MAX
from fastgw.rows import METHODS as METHOD_BITS
from fastgw.rows import RouteRow

CHAT = RouteRow(
    name=b"chat", slot=0, path=b"/v1/", hosts=(), methods=0, price_nanos=700, rate=None, needs_key=True,
    forward_key=False, preserve_host=False, dialect=0, set_lines=b"", drop=(), plan_prices={},
)  # fmt: skip


@pytest.fixture
def segment() -> Iterator[Segment]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Segment.create(
            f"{folder}/segment", secret=bytes(32), keys_max=8, accounts_max=8, routes_max=2, journal_records=256
        )


def test_the_sizes_are_those_of_the_compiled_core() -> None:
    assert RECORD.itemsize == RECORD_BYTES
    assert WORKERS_MAX == WORKERS
    assert {name: METHODS.index(name) for name in METHOD_BITS} == METHOD_BITS


def call(gate: Gate, method: str, path: str, key: str) -> int:
    """Send the head through the gate, as from 192.0.2.1; the verdict."""
    head = f"{method} {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
    assert gate.begin(head, 0, len(head)) == 0
    return gate.decide(Peer("192.0.2.1", 4711))


def test_every_field_that_a_gate_writes_is_found_where_it_is(segment: Segment, tmp_path: Path) -> None:
    segment.add_account(account_digest("other"), 0, 0)
    account = segment.add_account(account_digest("acme"), 10_000, 0)
    key = segment.add_key(segment.digest(b"sk"), account, 0, 1, 0)
    segment.route_slot("chat")
    templates = refusals.templates(realm="fastgw", docs_url="", top_up_url="")
    gate = Gate(segment, 3, [CHAT], templates, [])
    before = time.time_ns()
    for number in (1, 2):
        assert call(gate, "PATCH", f"/v1/things?n={number}", "sk") == 0
        ticket = gate.ticket()
        ticket.meter(1, 2, 0, True)  # what is said last counts
        ticket.meter(1_000, 1 << 40, segment.model_number("openai/gpt-x"), number == 1, 800, -1)
        gate.answered(ticket)
        assert (ticket.held_nanos, ticket.balance_nanos) == (700, 10_000 - 700 * number)
        gate.settle(ticket, 0, 201, True, -1, 11, 22, 2)
    assert call(gate, "GET", "/v1/y", "unknown") == refusals.Refusal.UNKNOWN_KEY
    gate.refuse(refusals.Refusal.UNKNOWN_KEY, False)
    raw, following, lost = segment.journal(3, 0)
    records = np.frombuffer(raw, RECORD)
    assert (len(records), following, lost) == (3, 3, 0)
    first, second, refused = records
    assert records["number"].tolist() == [1, 2, 3]
    assert ((before - 10**9 < records["time_ns"]) & (records["time_ns"] <= time.time_ns() + 10**9)).all()
    assert len({tuple(request) for request in records["request"].tolist()}) == 3
    assert (first["account"], first["key"], first["route"], first["target"]) == (account + 1, key + 1, 1, 2)
    assert (first["status"], first["verdict"], first["method"]) == (201, 0, METHODS.index("PATCH"))
    assert (first["bytes_in"], first["bytes_out"], first["port"]) == (11, 22, 4711)
    assert 0 < first["decided_us"] + 1 <= first["first_byte_us"] + 1 <= first["total_us"] + 1
    assert bytes(first["address"]) == b"\0" * 10 + b"\xff\xff" + bytes([192, 0, 2, 1])
    assert bytes(second["path"][: second["path_length"]]) == b"/v1/things?n=2"
    assert records["cost"].tolist() == [700, 700, 0]
    assert records["cost_sum"].tolist() == [700, 1400, 1400]
    assert (records["flags"] & 1).tolist() == [1, 1, 0]
    assert (records["flags"] & 2).tolist() == [2, 0, 0]
    tokens = ("tokens_in", "tokens_out", "tokens_cached", "tokens_reasoning", "model", "tag")
    assert [[record[name] for name in tokens] for record in records] == [[1_000, 2**32 - 1, 800, 0, 1, 0]] * 2 + [
        [0] * 6
    ]
    assert segment.model_counts(3) == {1: (2, 1, 2_000, 2 * (2**32 - 1), 1_600, 0, 0)}
    assert (refused["status"], refused["verdict"], refused["key"]) == (401, refusals.Refusal.UNKNOWN_KEY, 0)
    log = CallLog(segment, tmp_path, KnownNames(), LogSettings(keep_ms=0))
    assert log.flush()
    calls = log.calls(newest_first=False)
    assert [each.path for each in calls] == ["/v1/things?n=1", "/v1/things?n=2", "/v1/y"]
    assert [each.verdict for each in calls] == ["admitted", "admitted", "unknown_key"]
    assert (calls[0].account, calls[0].target, calls[0].address) == ("acct-2", "10.0.0.2:9001", "192.0.2.1")
    assert [(each.model, each.tokens_in, each.tokens_cached) for each in calls] == [("openai/m-1", 1_000, 800)] * 2 + [
        ("", 0, 0)
    ]
    assert calls[0].request_id == request_id(first)
    assert log.costs() == {"acct-2": 1400}


def request_id(record: np.void) -> str:
    return "".join(f"{word:016x}" for word in record["request"].tolist())

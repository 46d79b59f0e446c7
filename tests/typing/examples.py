"""How the compiled modules are used, for the type checker alone: right uses have their types, wrong ones errors."""

from typing import Any, assert_type

from fastgw import refusals
from fastgw._call import Peer, Ticket
from fastgw._core import Gate
from fastgw._http import ChunkedBody, RequestHead, ResponseHead, chunk, find_head_end
from fastgw._routes import RouteTable
from fastgw._segment import RECORD_BYTES, Segment, SegmentError, account_digest, boot_number
from fastgw.limits import limit_units
from fastgw.rows import PlanRow


def segments(path: str) -> None:
    segment = Segment.create(path, secret=bytes(32), keys_max=1, accounts_max=1, routes_max=1, journal_records=256)
    assert_type(Segment.open(path), Segment)
    Segment.create(path, bytes(32), 1, 1, 1, 256)  # type: ignore[call-arg]
    Segment.create(path, keys_max=1)  # type: ignore[call-arg]
    assert_type(segment.capacity, dict[str, int])
    assert_type(segment.same_boot, bool)
    segment.key_count = 1  # type: ignore[misc]
    segment.path = path  # type: ignore[misc]
    digest = segment.digest(b"sk")
    segment.digest("sk")  # type: ignore[arg-type]
    assert_type(digest, bytes)
    account = segment.add_account(account_digest("acme"), 10, 0)
    assert_type(segment.account(account)["held"], int)
    limit = segment.limit(1, 10**9, 1)
    segment.add_key(digest, account, limit, status=1, expires_s=0)
    segment.limit(1.5, 10**9, 1)  # type: ignore[arg-type]
    assert_type(segment.recover(0), tuple[int, int])
    assert_type(segment.journal(0, 0), tuple[bytes, int, int])
    assert_type(segment.routes(), list[str])
    assert_type(segment.hold(0, 0, 1), bool)
    segment.hold(0, 0, 0.5)  # type: ignore[arg-type]
    segment.reserve(keys=1, accounts=1, workers=1)  # type: ignore[call-arg]
    assert_type(RECORD_BYTES * boot_number(), int)
    assert_type(limit_units(1, 10**9, 1), tuple[int, int, int, int])
    raise SegmentError("full")


def gates(segment: Segment, data: bytes) -> bytes:
    templates = refusals.templates(realm="api", docs_url="", top_up_url="")
    gate = Gate(segment, 0, [], templates, [], fields_max=10, key_header=b"x-key", body_max=1)
    Gate(segment, 0, [], templates, [], 10)  # type: ignore[call-arg]
    Gate(segment, 0, [("api", 0)], templates, [])  # type: ignore[list-item]
    gate.reload([], templates, [PlanRow(1, None, 0, 0)], body_max=2)
    assert_type(gate.quote(0, 0), dict[str, Any])
    assert_type(RouteTable(segment, 0, [], []).quote(0, -1), dict[str, Any])
    peer = Peer("192.0.2.1", 4711)
    Peer("192.0.2.1")  # type: ignore[call-arg]
    assert_type(gate.head, RequestHead)
    gate.head = RequestHead()  # type: ignore[misc]
    if gate.begin(data, 0, find_head_end(data, 0)) or gate.decide(peer):
        return gate.refuse(refusals.Refusal.BAD_REQUEST, close=True)
    ticket = gate.ticket()
    assert_type(ticket, Ticket)
    assert_type(ticket.held_nanos, int)
    ticket.settled = True  # type: ignore[misc]
    gate.settle(ticket, 0, 200, True, -1, 0, 0, 1)
    gate.settle(ticket, 0, 200, True)  # type: ignore[call-arg]
    gate.fail(None, 17, True)  # type: ignore[arg-type]
    assert_type(gate.answer_lines(ticket, False, True), bytes)
    return gate.request(ticket, peer, b"Host: a\r\n", 0, 0)


def messages(data: bytes) -> None:
    head = RequestHead(fields_max=10)
    assert_type(head.scan(data, 0, len(data)), int)
    assert_type(head.fields, list[tuple[bytes, bytes]])
    assert_type(head.keep_alive, bool)
    head.scan(data)  # type: ignore[call-arg]
    answer = ResponseHead()
    assert_type(answer.render(b"", 1, 0, 0), bytes)
    body = ChunkedBody()
    assert_type(body.feed(data, 0, True), bytes)
    body.feed(bytearray(data), 0, True)  # type: ignore[arg-type]
    assert_type(body.payload, int)
    assert_type(chunk(data, 0, len(data), last=True), bytes)

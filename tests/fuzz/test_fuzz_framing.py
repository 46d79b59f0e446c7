"""The same bytes, cut anywhere, are the same requests to the gateway and to h11, or no requests to the gateway."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Iterator

import framing_pair
import pytest
from findings import FINDINGS
from framing_pair import Gateway, Refused, Request, compare, difference, strictly
from streams import Maker

STREAMS = 2_000 * int(os.environ.get("FASTGW_LONG", "1"))
SECONDS_MAX = 10.0 * int(os.environ.get("FASTGW_LONG", "1"))


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    gateway = Gateway()
    yield gateway
    gateway.plane.close()
    gateway.directory.cleanup()


def test_streams_that_are_nearly_right_are_read_alike(gateway: Gateway) -> None:
    """FASTGW_SEED=N begins elsewhere; a seed that fails is in the message, to be put among FINDINGS."""
    first = int(os.environ.get("FASTGW_SEED", "1"))
    began = time.monotonic()
    verdicts: Counter[object] = Counter()
    for seed in range(first, first + STREAMS):
        parts = Maker(random.Random(seed)).stream()
        ours, (theirs, _) = gateway.read(parts), strictly(parts)
        assert difference(ours, theirs) == "", f"seed {seed}: {parts!r}"
        verdicts.update("taken" if isinstance(one, Request) else one.status for one in ours)
        if time.monotonic() - began > SECONDS_MAX:
            break
    assert verdicts["taken"] > 100, "what is tried is not hopeless"
    assert {400, 501, 505} <= set(verdicts)


@pytest.mark.parametrize("parts", FINDINGS.values(), ids=FINDINGS.keys())
def test_what_was_found_stays_mended(gateway: Gateway, parts: list[bytes]) -> None:
    data = b"".join(parts)
    assert compare(gateway, parts) == ""
    assert compare(gateway, [data]) == ""
    assert compare(gateway, [data[i : i + 1] for i in range(len(data))]) == ""


GET = b"GET /a HTTP/1.1\r\nHost: a\r\n"
CHUNKED = b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_the_judge_can_tell(gateway: Gateway) -> None:
    """Readings that differ in anything that matters are told apart; none of them is the gateway's."""
    [taken], _ = strictly([CHUNKED + b"3\r\nabc\r\n0\r\n\r\n"])
    assert isinstance(taken, Request)
    assert gateway.read([CHUNKED + b"3\r\nabc\r\n0\r\n\r\n"])[0][:2] == taken[:2]
    refused = Refused(400, True)
    for other in (
        taken._replace(method=b"PUT"), taken._replace(target=b"/b"), taken._replace(body=b"ab"),
        taken._replace(whole=False), refused,
    ):  # fmt: skip
        assert difference([taken], [other])
    assert difference([taken], [])
    assert difference([taken._replace(fields=((b"x-invented", b"1"),))], [taken])
    assert difference([Refused(404, False)], [refused]), "it may not go on where h11 does not know how"
    assert difference([refused], [taken]) == "", "it may be stricter"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (GET + b"X: a\r\n b\r\n\r\n", 400),
        (GET + b" X: a\r\n\r\n", 400),
        (GET + b"X: a\nY: b\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\nHost: a\n\n", 400),
        (GET + b"Content-Length: 3, 3\r\n\r\nabc", 400),
        (GET + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
        (GET + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (GET + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (GET + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (GET + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
        (CHUNKED + b"3\nabc\r\n0\r\n\r\n", 400),
        (CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n", 400),
        (CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n", 400),
        (CHUNKED + b"10000000000000003\r\nabc\r\n0\r\n\r\n", 400),
    ],
)
def test_what_servers_disagree_about_is_refused_and_nothing_behind_it_read(
    gateway: Gateway, data: bytes, status: int
) -> None:
    for parts in ([data + GET + b"\r\n"], [data, GET + b"\r\n"], [data[i : i + 1] for i in range(len(data))]):
        assert gateway.read(parts) == [Refused(status, True)]
        assert compare(gateway, parts) == ""


def test_an_upgrade_with_a_body_never_becomes_another_request(gateway: Gateway) -> None:
    head = b"POST /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 37\r\n\r\n"
    inner = b"GET /smuggled HTTP/1.1\r\nHost: inner\r\n\r\n"[:37]
    parts = [head + inner + GET + b"\r\n"]
    assert compare(gateway, parts) == ""
    for one in gateway.read(parts):
        assert isinstance(one, Refused) or one.target == b"/a"


def test_ours_is_read_from_the_real_path(gateway: Gateway) -> None:
    """What this pair leans on: that a request is forwarded whole, and as its own."""
    [request] = gateway.read([GET + b"X-A: b\r\n\r\n"])
    assert isinstance(request, Request)
    assert (b"x-a", b"b") in request.fields
    assert (b"host", b"127.0.0.1:9") in request.fields
    assert framing_pair.origin_form(b"http://a/b?c") == b"/b?c"

"""Real clients: curl, httpx and wrk see an HTTP server that behaves."""

import asyncio
import json
import re
import shutil
import socket
import struct
import subprocess

import httpx
import pytest
from conftest import Upstream
from gateway import Gateway, account, eventually, key
from load import request

KEY = "sk-acme-0001"


@pytest.fixture
def serving(gateway: Gateway) -> Gateway:
    gateway.write(
        account(balance="1000"), account("poor", balance="0.001"), account("eager", balance="1"),
        key(KEY), key("sk-poor-0001", "poor"), key("sk-eager-001", "eager", rate="1/h"), price="0.001",
        server={"top_up_url": "https://example.com/pay", "docs_url": "https://example.com/errors"},
    )  # fmt: skip
    gateway.start()
    return gateway


def curl(*arguments: str) -> tuple[int, dict[str, str], str]:
    """(status, fields in lower case, body)."""
    done = subprocess.run(["curl", "-sS", "-i", *arguments], capture_output=True, text=True, check=True, timeout=20)
    head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
    while head.startswith("HTTP/1.1 100"):
        head, _, body = body.partition("\n\n")
    first, *fields = head.split("\n")
    pairs = (line.split(": ", 1) for line in fields)
    return int(first.split()[1]), {name.lower(): value for name, value in pairs}, body


def test_curl_sees_every_verdict(serving: Gateway, upstream: Upstream) -> None:
    url = f"{serving.url}/v1/calls"
    status, fields, body = curl("-H", f"Authorization: Bearer {KEY}", "-d", '{"a":1}', url)
    assert (status, body) == (200, "served\n")
    assert re.fullmatch(r"[0-9a-f]{32}", fields["x-request-id"])
    assert "authorization" not in upstream.last_head.lower()
    assert KEY not in upstream.last_head

    assert curl("-H", f"x-api-key: {KEY}", url)[0] == 200

    status, fields, body = curl(url)
    assert (status, json.loads(body)["code"]) == (401, "missing_key")
    assert fields["www-authenticate"].startswith('Bearer realm="fastgw"')

    assert curl("-H", "x-api-key: sk-poor-0001", url)[0] == 200
    status, fields, body = curl("-H", "x-api-key: sk-poor-0001", url)
    problem = json.loads(body)
    assert (status, problem["code"]) == (402, "insufficient_balance")
    assert problem["top_up_url"] == "https://example.com/pay"
    assert fields["content-type"] == "application/problem+json"

    assert curl("-H", "x-api-key: sk-eager-001", url)[0] == 200
    status, fields, body = curl("-H", "x-api-key: sk-eager-001", url)
    assert (status, json.loads(body)["code"]) == (429, "rate_limited")
    assert 3500 < int(fields["retry-after"]) <= 3600
    assert fields["ratelimit-policy"].startswith('"key";q=1;w=3600')
    assert fields["ratelimit"].startswith('"key";r=0;t=')

    assert curl("-H", f"x-api-key: {KEY}", f"{serving.url}/elsewhere")[0] == 404
    assert curl("-H", f"x-api-key: {KEY}", "-H", "Authorization: Bearer sk-another-1", url)[0] == 400
    assert upstream.calls == 4


def test_curl_keeps_its_connection_and_sends_large_and_chunked_bodies(serving: Gateway, upstream: Upstream) -> None:
    body = serving.directory / "body"
    body.write_bytes(b"x" * 3_000_000)
    key_field = f"x-api-key: {KEY}"
    done = subprocess.run(
        ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %{num_connects}\n", "-H", key_field,
         "--data-binary", f"@{body}", f"{serving.url}/v1/a", "--next", "-sS", "-o", "/dev/null",
         "-w", "%{http_code} %{num_connects}\n", "-H", key_field, f"{serving.url}/v1/b"],
        capture_output=True, text=True, check=True, timeout=20,
    )  # fmt: skip
    assert done.stdout == "200 1\n200 0\n"
    assert upstream.calls == 2
    status, _, _ = curl("-I", "-H", key_field, f"{serving.url}/v1/c")
    assert status == 200
    assert curl("-0", "-H", key_field, f"{serving.url}/v1/d")[0] == 200


def test_httpx_with_many_calls_at_once(serving: Gateway, upstream: Upstream) -> None:
    async def calls() -> list[httpx.Response]:
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}, timeout=20) as client:
            posts = (client.post(f"{serving.url}/v1/{n}", json={"n": n}) for n in range(60))
            return list(await asyncio.gather(*posts))

    answers = asyncio.run(calls())
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.text for answer in answers} == {"served\n"}
    assert len({answer.headers["x-request-id"] for answer in answers}) == 60
    assert upstream.calls == 60


def in_flight(gateway: Gateway) -> int:
    segment = gateway.segment()
    return sum(segment.worker(index)["exchanges"] for index in range(2))


def test_httpx_that_gives_up_leaves_no_hold_when_the_answer_has_come(serving: Gateway, upstream: Upstream) -> None:
    """Its orderly close says only that it sends no more; the call ends with the upstream's answer."""
    with httpx.Client(headers={"x-api-key": KEY}, timeout=0.2) as client:
        for _ in range(3):
            with pytest.raises(httpx.ReadTimeout):
                client.get(f"{serving.url}/v1/slow?ms=600")
    assert upstream.calls == 3
    eventually(lambda: in_flight(serving) == 0)
    assert serving.money()["held"] == 0
    assert serving.call(KEY) == 200


def test_a_client_that_resets_its_connection_ends_the_call_at_once_and_pays_nothing(
    serving: Gateway, upstream: Upstream
) -> None:
    with socket.create_connection(("127.0.0.1", serving.port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sendall(request(KEY, "/v1/slow?ms=20000"))
        eventually(lambda: upstream.calls == 1)
    eventually(lambda: in_flight(serving) == 0, 2)
    assert (serving.money()["captured"], serving.money()["held"]) == (0, 0)


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed (Debian: apt-get install wrk)")
def test_wrk_sees_no_error_and_counts_what_was_charged(serving: Gateway, upstream: Upstream) -> None:
    done = subprocess.run(
        ["wrk", "-t2", "-c64", "-d1s", "-H", f"x-api-key: {KEY}", f"{serving.url}/v1/calls"],
        capture_output=True, text=True, check=True, timeout=20,
    )  # fmt: skip
    assert "Non-2xx" not in done.stdout
    assert "Socket errors" not in done.stdout
    match = re.search(r"([0-9]+) requests in", done.stdout)
    assert match, done.stdout
    eventually(lambda: serving.money()["held"] == 0)
    charged = serving.money()["captured"] // 1_000_000
    assert int(match[1]) <= charged <= upstream.calls
    assert charged - int(match[1]) <= 64, "only calls that were in flight when wrk stopped"

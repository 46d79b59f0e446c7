"""A worker is killed with streams in flight: what was relayed is charged, marked as an estimate, and all sums agree."""

from __future__ import annotations

import json
import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fronts import PRICES, configuration
from gateway import Gateway, account, eventually, get, key
from provider import Provider, order

STREAMS, TOKENS = 6, 7
INPUT_MOST = 400  # tokens that the input may be estimated at


@pytest.mark.slow
def test_what_a_killed_worker_has_relayed_is_charged_and_marked(provider: Provider, tmp_path: Path) -> None:
    said = order(say=40, fault="stall", after=TOKENS)
    body = json.dumps({"model": "openai", "stream": True, "messages": [{"role": "user", "content": said}]}).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-acme-0001\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    with Gateway(tmp_path, provider.url) as gateway, ExitStack() as stack:
        gateway.file.write_text(
            configuration(provider.url, PRICES) + account("acme", "1000") + key("sk-acme-0001", "acme")
        )
        gateway.start()
        for _ in range(STREAMS):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", gateway.port), 10))
            client.sendall(head.encode() + body)
            got = b""
            while got.count(b'"content":"') < TOKENS:
                data = client.recv(65536)
                assert data, got
                got += data
        assert gateway.money()["captured"] == 0
        for pid in gateway.workers():
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: gateway.money()["held"] == 0 and gateway.money()["captured"] > 0)
        captured = gateway.money()["captured"]
        least = STREAMS * TOKENS * PRICES["output"]
        assert least < captured <= least + STREAMS * INPUT_MOST * PRICES["input"]
        eventually(lambda: len(rows(gateway)) == STREAMS)
        for row in rows(gateway):
            assert (row["verdict"], row["model"], row["estimated"]) == ("worker_died", "openai/gpt-4o-mini", True)
            assert row["tokens_out"] == TOKENS
        eventually(lambda: told(gateway, "audit")["passed"])
        eventually(gateway.ready)
        provider.idle()


def rows(gateway: Gateway) -> list[dict[str, Any]]:
    """What the call log has."""
    items: list[dict[str, Any]] = told(gateway, "calls")["items"]
    return items


def told(gateway: Gateway, what: str) -> dict[str, Any]:
    """What the admin API says."""
    token = (gateway.state_dir / "admin-token").read_text().strip()
    answer: dict[str, Any] = json.loads(get(f"{gateway.admin_url}/v1/{what}", token)[1])
    return answer

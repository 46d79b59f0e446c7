"""What a gateway charges for calls to models is what their provider has counted; nobody gets a token more."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
import reconcile
import uvloop
from fronts import configuration
from gateway import Gateway, account, key
from mixed import Call
from provider import Order, Provider
from talkers import Line

WORTH = 100  # tokens of output that there is money for
STREAMS = 200


@pytest.mark.slow
def test_the_ledger_is_the_providers_own_count(tmp_path: Path) -> None:
    """Some hundred mixed calls and two kills; `python tests/ai/reconcile.py` makes ten thousand."""
    seed = random.SystemRandom().randrange(1 << 30)
    outcome = reconcile.run(tmp_path, seed, calls=400, callers=50, rounds=2, standing=12)
    assert not outcome.wrong, "\n".join([f"seed {seed}", outcome.summary(), *outcome.wrong[:20]])
    assert outcome.captured > 0
    assert outcome.readings > 100


@pytest.mark.slow
@pytest.mark.parametrize("caller", ["chat", "messages"])
def test_two_hundred_streams_share_money_for_a_hundred_tokens(provider: Provider, tmp_path: Path, caller: str) -> None:
    """Together they get a hundred tokens at most, and nearly as many, since whoever can pay is served."""
    with Gateway(tmp_path, provider.url) as gateway:
        prices = {"input": 0, "output": 1_000}
        gateway.file.write_text(
            configuration(provider.url, prices)
            + account("acme", f"0.{WORTH * 1_000:09d}")
            + key("sk-acme-0001", "acme")
        )
        gateway.start()
        calls = [
            Call(f"{n}", "acme", caller, "openai", True, Order(id=f"{n}", say=120, pace_s=0.002), cap=200)
            for n in range(STREAMS)
        ]

        async def ask(call: Call) -> None:
            line = Line(gateway.port)
            await line.ask(call, "sk-acme-0001")
            line.close()

        async def everybody() -> None:
            await asyncio.gather(*(ask(call) for call in calls))

        uvloop.run(everybody())
        received = sum(call.tokens for call in calls)
        assert all(call.tokens <= WORTH for call in calls)
        assert WORTH - 16 < received <= WORTH
        assert {call.status for call in calls} <= {200, 402}
        money = gateway.money()
        assert money["committed"] == money["captured"] == received * 1_000

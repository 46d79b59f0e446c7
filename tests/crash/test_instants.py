"""At no instant is more committed than there is, whatever clients, top-ups and reloads do at once."""

import time
from pathlib import Path

import httpx
import pytest
from gateway import NANOS, Gateway, account, eventually, key
from harness import Oracle
from load import Hammering, request
from sampler import Sampler

KEY = "sk-acme-0001"
SECONDS = 6.0


@pytest.mark.slow
def test_a_thousand_looks_a_second_never_see_an_overspent_account(tmp_path: Path) -> None:
    """512 connections spend what one account has, while it is topped up and its price changes again and again."""
    oracle = Oracle()
    try:
        with Gateway(tmp_path, oracle.url) as gateway:
            gateway.write(account(balance="0.5"), key(KEY), price="0.001")
            gateway.start()
            eventually(gateway.ready)
            token = (gateway.state_dir / "admin-token").read_text().strip()
            admin = httpx.Client(
                base_url=gateway.admin_url, headers={"Authorization": f"Bearer {token}"}, timeout=20, trust_env=False
            )
            top_ups = reloads = 0
            with (
                Sampler(gateway.segment()) as sampler,
                Hammering(gateway.port, request(KEY, "/v1/fixed/acme"), connections=512, seconds=SECONDS) as hammering,
            ):
                until = time.monotonic() + SECONDS
                while time.monotonic() < until:
                    answer = admin.post("/v1/accounts/acme/topups", json={"amount": "0.1"})
                    assert answer.status_code == 201, answer.text
                    top_ups += 1
                    if top_ups % 5 == 0:
                        price = ("0.001", "0.0007")[reloads % 2]
                        gateway.write(account(balance="0.5"), key(KEY), price=price)
                        answer = admin.post("/v1/reload")
                        assert answer.status_code == 200, answer.text
                        reloads += 1
                    time.sleep(0.02)
            assert sampler.broken == []
            assert sampler.readings > 200
            assert set(hammering.tally.statuses) == {200, 402}
            assert (hammering.tally.cut, hammering.tally.refused) == (0, 0)
            assert top_ups > 10
            assert reloads > 2
            eventually(lambda: gateway.money()["held"] == 0)
            money = gateway.money()
            assert money["granted"] == NANOS // 2 + top_ups * NANOS // 10
            served = oracle.books()["acme"][0]
            assert served * NANOS * 7 // 10_000 <= money["captured"] <= served * NANOS // 1000
            assert gateway.stop() == 0
    finally:
        oracle.close()

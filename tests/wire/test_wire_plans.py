"""An account's status, subscription and plan decide what its keys may do, and what a call costs them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from .client import Answer, Client
from .oracle import Oracle
from .rig import Gateway


def call(client: Client, path: str, key: str) -> Answer:
    client.send(f"GET {path} HTTP/1.1\r\nHost: wire\r\nx-api-key: {key}\r\n\r\n".encode())
    return client.read()


def said(answer: Answer) -> dict[str, Any]:
    """The innermost object of a refusal's body, in either dialect."""
    document: dict[str, Any] = json.loads(answer.body)
    return dict(document.get("error", document))


BOTH = pytest.mark.parametrize("path", ["/v1/x", "/openai/x"], ids=["problem", "openai"])


@BOTH
def test_a_suspended_account_is_told_apart_from_a_key_that_is_wrong(client: Client, oracle: Oracle, path: str) -> None:
    answer = call(client, path, "sk-wire-suspended1")
    assert (answer.status, said(answer)["code"]) == (403, "account_suspended")
    assert answer.all("www-authenticate") == []
    if path != "/v1/x":
        assert said(answer)["type"] == "permission_error"
    assert oracle.arrivals == []


@BOTH
def test_a_subscription_that_has_ended_says_when(client: Client, oracle: Oracle, path: str) -> None:
    answer = call(client, path, "sk-wire-lapsed-001")
    assert (answer.status, said(answer)["code"]) == (402, "subscription_expired")
    assert said(answer)["expired_at"] == "2020-02-29T12:00:00Z"
    assert said(answer)["top_up_url"] == "https://pay.example/"
    assert oracle.arrivals == []


def test_a_plan_has_prices_of_its_own_also_for_what_others_have_free(gateway: Gateway, client: Client) -> None:
    """0.0009 pays for a call of 0.0004 and one of 0.0003, and leaves 0.0002."""
    assert call(client, "/v1/x", "sk-wire-cheap-0001").status == 200
    assert call(client, "/limited/x", "sk-wire-cheap-0001").status == 200
    assert gateway.captured("cheap") == 700_000
    for path in ("/v1/x", "/openai/x"):
        answer = call(client, path, "sk-wire-cheap-0001")
        assert (answer.status, said(answer)["code"]) == (402, "insufficient_balance")
        assert (said(answer)["price"], said(answer)["available"]) == ("0.0004", "0.0002")
    assert gateway.captured("cheap") == 700_000


def test_a_plan_s_rate_is_that_of_all_keys_of_the_account_together(client: Client, oracle: Oracle) -> None:
    keys = ["sk-wire-paced-0001", "sk-wire-paced-0002"]
    assert [call(client, "/v1/x", key).status for key in keys] == [200, 200]
    for key in keys:
        answer = call(client, "/v1/x", key)
        assert (answer.status, said(answer)["code"]) == (429, "rate_limited")
        assert answer.one("ratelimit-policy") == '"plan";q=2;w=40'
        assert re.fullmatch(r'"plan";r=0;t=([1-9]|1[0-9]|20)', answer.one("ratelimit"))
    assert len(oracle.arrivals) == 2

"""How a provider is reached: which of its servers by what calls have in common, and signed where it is Amazon's."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import msgspec
import pytest

from fastgw.model import Candidate, Model, Provider, Secret

from .modelling import CALL, INPUT, OUTPUT, PRICE, Stand, ask, body, config, whole
from .oracle import Arrival, Oracle, Talk

ID, SECRET, REGION = "AKIAWIRE", "s3cr3t/+", "eu-west-1"


@contextmanager
def beside(models: Stand, provider: Provider, model: str, balance: str = "", *ports: int) -> Iterator[None]:
    """One provider more, whose servers are at these ports beside the oracle's, and its model of the same name."""
    base = config(models.oracle.port, models.dead)
    first = base.upstreams[0]
    [target] = first.targets
    targets = (target, *(msgspec.structs.replace(target, port=port, authority=f"127.0.0.1:{port}") for port in ports))
    spread = {"balance": "hash", "hash_by": balance} if balance else {}
    upstream = msgspec.structs.replace(first, name=provider.name, targets=targets, **spread)
    models.host.reconfigure(
        msgspec.structs.replace(
            base,
            upstreams=(*base.upstreams, upstream),
            providers=(*base.providers, provider),
            models=(*base.models, Model(provider.name, (Candidate(provider.name, model, PRICE),), max_tokens=100)),
        )
    )
    try:
        yield
    finally:
        models.host.reconfigure(base)


@pytest.mark.parametrize("by", ["x-session", "key"])
def test_calls_that_belong_together_go_to_one_server_however_late_their_body_comes(models: Stand, by: str) -> None:
    accounts = [models.account() for _ in range(12)]
    provider = Provider("spread", "openai", "/spread/v1", (Secret("pk-spread"),))
    twin = Oracle()

    def arrived(data: bytes, late: bool, between: bytes) -> bool:
        """Whether the call came to the twin; its body comes `late`, with another call in between."""
        count = len(twin.arrivals)
        cut = len(data) - 5 if late else len(data)
        with models.connect() as client, models.connect() as other:
            client.send(data[:cut])
            if late:
                other.send(between)
                assert other.read().status == 200
                count = len(twin.arrivals)
                client.send(data[cut:])
            assert client.read().status == 200
        return len(twin.arrivals) > count

    twin.scripts["spread"] = whole()
    with beside(models, provider, "m", by, twin.port), models.serving(spread=whole()):
        calls = [
            ask(accounts[n if by == "key" else 0], body("spread"), f"X-Session: {n}") for n in range(len(accounts))
        ]
        at_once = [arrived(data, False, b"") for data in calls]
        late = [
            arrived(data, True, calls[at_once.index(not there)]) for data, there in zip(calls, at_once, strict=True)
        ]
    twin.close()
    assert set(at_once) == {True, False}
    assert late == at_once


def signature(arrival: Arrival) -> str:
    """What AWS makes of the request (Signature Version 4, "Create a signed AWS API request")."""
    scope, signed = arrival.one("authorization").split(", ")[:2]
    names = signed.removeprefix("SignedHeaders=").split(";")
    date, region, service, end = scope.split("/")[1:]
    canonical = "\n".join([
        arrival.method, quote(arrival.target, safe="/-_.~"), "",
        *(f"{name}:{arrival.one(name)}" for name in names), "",
        ";".join(names), hashlib.sha256(arrival.body).hexdigest(),
    ])  # fmt: skip
    text = "\n".join([
        "AWS4-HMAC-SHA256", arrival.one("x-amz-date"), f"{date}/{region}/{service}/{end}",
        hashlib.sha256(canonical.encode()).hexdigest(),
    ])  # fmt: skip
    key = f"AWS4{SECRET}".encode()
    for part in (date, region, service, end):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def test_a_call_to_amazon_is_signed(models: Stand) -> None:
    account = models.account()
    seen: list[Arrival] = []

    def script(talk: Talk) -> None:
        talk.read_body()
        seen.append(talk.arrival)
        said = {
            "output": {"message": {"role": "assistant", "content": [{"text": "hello"}]}}, "stopReason": "end_turn",
            "usage": {"inputTokens": 7, "outputTokens": 20, "totalTokens": 27},
        }  # fmt: skip
        talk.answer(200, json.dumps(said).encode(), "Content-Type: application/json")

    provider = Provider("aws", "bedrock", "", (Secret(f"{ID}:{SECRET}:t0ken"),), region=REGION)
    with beside(models, provider, "amazon.nova-1:0"), models.serving(model=script), models.connect() as client:
        client.send(ask(account, body("aws")))
        answer = client.read()
    [arrival] = seen
    assert arrival.target == "/model/amazon.nova-1%3A0/converse"
    given = arrival.one("authorization")
    assert given.startswith(f"AWS4-HMAC-SHA256 Credential={ID}/")
    assert given.rpartition("Signature=")[2] == signature(arrival)
    assert {"content-type", "host", "x-amz-date", "x-amz-security-token"} <= set(
        given.split("SignedHeaders=")[1].partition(",")[0].split(";")
    )
    assert arrival.one("x-amz-security-token") == "t0ken"
    assert SECRET not in arrival.raw.decode("latin-1")
    assert (answer.status, json.loads(answer.body)["choices"][0]["message"]["content"]) == (200, "hello")
    assert account.captured() == CALL + 7 * INPUT + 20 * OUTPUT

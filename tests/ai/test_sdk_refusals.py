"""What a gateway itself refuses or ends, the official packages raise as what they have for it, in both dialects."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from fronts import PRICES, Front, configuration, through
from gateway import Gateway, account, key
from provider import Provider, order

WORD = PRICES["output"]
PROVIDERS = ("openai", "anthropic", "gemini")


@pytest.fixture(scope="module")
def shop(session_provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with accounts that have nothing, too little, and enough for some of it."""
    with Gateway(tmp_path_factory.mktemp("shop"), session_provider.url) as gateway:
        text = configuration(session_provider.url, PRICES)
        for name, balance in (("acme", "1000"), ("broke", "0"), ("short", "0.001")):
            text += account(name, balance) + key(f"sk-{name}-0001", name)
        text += "".join(
            account(f"some-{name}", "0.0006") + key(f"sk-some-{name}-0001", f"some-{name}") for name in PAIRS
        )
        text += account("slow", "1000", plan="one") + key("sk-slow-0001", "slow")
        text += '\n[[plans]]\nname = "one"\nrate = "1/m"\nburst = 1\n'
        gateway.file.write_text(text)
        gateway.start()
        yield gateway


PAIRS = [f"{caller}-{provider}" for caller in ("openai", "anthropic") for provider in PROVIDERS]


def ask(front: Front, caller: str, said: str, key: str, max_tokens: int = 400, stream: bool = False) -> Any:
    message: Any = [{"role": "user", "content": said}]
    if caller == "openai":
        return front.openai(key).chat.completions.create(
            model=front.model, messages=message, max_completion_tokens=max_tokens, stream=stream
        )
    return front.anthropic(key).messages.create(
        model=front.model, messages=message, max_tokens=max_tokens, stream=stream
    )


# Of both packages, which have no common ancestor with what is asked for here.
STATUS: Any = (openai.APIStatusError, anthropic.APIStatusError)
NOT_FOUND: Any = (openai.NotFoundError, anthropic.NotFoundError)
LIMITED: Any = (openai.RateLimitError, anthropic.RateLimitError)


@pytest.mark.parametrize("caller", ["openai", "anthropic"])
def test_refusals_are_the_sdks_own(shop: Gateway, caller: str, provider: Provider) -> None:
    front = through(shop, "openai")
    with pytest.raises((openai.AuthenticationError, anthropic.AuthenticationError)):
        ask(front, caller, "Hello", "sk-nobody-0001")
    with pytest.raises(NOT_FOUND) as missing:
        ask(through(shop, "no-such-model"), caller, "Hello", "sk-acme-0001")
    assert "no-such-model" in missing.value.message
    with pytest.raises(STATUS) as broke:
        ask(front, caller, "Hello", "sk-broke-0001")
    assert (broke.value.status_code, code_of(broke.value)) == (402, "insufficient_balance")
    for refused in (missing, broke):  # what the gateway says itself, and what its core has in store
        assert re.fullmatch("[0-9a-f]{32}", refused.value.request_id)
    assert provider.books.bills == [], "the provider was asked"


@pytest.mark.parametrize("caller", ["openai", "anthropic"])
def test_a_rate_is_a_rate_limit_error(shop: Gateway, caller: str) -> None:
    front = through(shop, "openai")
    with pytest.raises(LIMITED) as limited:  # noqa: PT012
        ask(front, caller, order(say=1), "sk-slow-0001")
        ask(front, caller, order(say=1), "sk-slow-0001")
    assert int(limited.value.response.headers["retry-after"]) >= 1


def test_what_others_hold_is_another_402_than_what_will_never_fit(shop: Gateway, provider: Provider) -> None:
    """Two calls of an account that has money for one: the second is told to come again."""
    front = through(shop, "openai")
    first = ask(front, "openai", order(id="held", say=20, fault="lockstep", after=2), "sk-short-0001", 150, stream=True)
    next(iter(first))
    with pytest.raises(openai.APIStatusError) as held:
        ask(front, "openai", order(say=20), "sk-short-0001", 150)
    assert (held.value.status_code, code_of(held.value)) == (402, "balance_held")
    with pytest.raises(openai.APIStatusError) as never:
        ask(front, "openai", order(say=20), "sk-short-0001", 100_000)
    assert (never.value.status_code, code_of(never.value)) == (402, "insufficient_balance")
    first.close()
    deadline = time.monotonic() + 1
    while provider.service.now and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not provider.service.now, "a caller has hung up, and its provider is still asked a second later"
    ask(front, "openai", order(say=2), "sk-short-0001", 150)


@pytest.mark.parametrize("pair", PAIRS)
def test_a_stream_ends_in_dialect_when_the_money_does(shop: Gateway, provider: Provider, pair: str) -> None:
    """An account has money for some hundred tokens, and asks for three hundred that come one by one."""
    caller, _, model = pair.partition("-")
    said = order(id=pair, say=300, pace_s=0.001)
    words = ""
    with pytest.raises((openai.APIError, anthropic.APIError)) as ended:  # noqa: PT012
        for event in ask(through(shop, model), caller, said, f"sk-some-{pair}-0001", 300, stream=True):
            words += text_of(event)
    assert code_of(ended.value) in {"insufficient_balance", "balance_held", "billing_error"}
    tokens = len(words.split())
    bill = provider.books.one(pair)
    left = 600_000 - bill.input * PRICES["input"]
    # While it goes on, money is held for an input that errs upwards.
    assert 85 <= tokens <= left // WORD, f"{tokens} tokens for {left} nanos"
    assert shop.money(f"some-{pair}")["committed"] <= 600_000


def text_of(event: Any) -> str:
    if getattr(event, "choices", None):
        return event.choices[0].delta.content or ""
    delta = getattr(event, "delta", None)
    return getattr(delta, "text", "") or ""


def code_of(error: Any) -> str:
    """The gateway's own word, wherever the dialect has it."""
    body = error.body if isinstance(error.body, dict) else {}
    inner = body.get("error", body)
    return str(inner.get("code") or inner.get("type"))


# What a caller can read of it


@pytest.mark.parametrize("model", PROVIDERS)
def test_an_answer_says_what_it_cost_and_what_is_left(shop: Gateway, provider: Provider, model: str) -> None:
    front = through(shop, model)
    answer = front.openai().chat.completions.with_raw_response.create(
        model=front.model, messages=[{"role": "user", "content": order(id="cost", say=10, input=33, cached=3)}]
    )
    fields = answer.headers
    cost = 30 * PRICES["input"] + 3 * PRICES["cached"] + 10 * PRICES["output"]
    assert fields["x-fastgw-cost"].rstrip("0") == f"0.{cost:09d}".rstrip("0")
    assert float(fields["x-fastgw-balance"]) < 1000
    assert fields["x-fastgw-model"].startswith(f"{model}/")
    assert fields["x-fastgw-tokens"] == "in=33, out=10"
    assert fields["x-request-id"]
    assert provider.books.one("cost").cost(PRICES) == cost
    assert not [name for name in fields if name.startswith(("openai-", "anthropic-", "set-cookie"))], (
        "the provider's own"
    )


def test_keys_stay_on_their_side(shop: Gateway, provider: Provider) -> None:
    for model in PROVIDERS:
        for caller in ("openai", "anthropic"):
            ask(through(shop, model), caller, order(say=1), "sk-acme-0001")
    for arrival in provider.books.arrivals:
        assert arrival.key == f"sk-prov-{arrival.key.split('-')[2]}-0001"
        assert b"sk-acme" not in arrival.body + repr(arrival.fields).encode()

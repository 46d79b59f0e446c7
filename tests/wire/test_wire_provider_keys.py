"""The keys of providers: who rests or is refused does so for all workers, none is asked for more than it may be."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from fastgw._credentials import Credentials
from fastgw.dataplane.pauses import asked_ms, reset_ms
from fastgw.states import CredentialState

from .client import Answer, Client
from .modelling import CALL, INPUT, OUTPUT, STREAM, Stand, ask, body, chunk, whole
from .oracle import Script, Talk
from .rig import Host
from .test_wire_model_fallback import refusing
from .tunnelling import SLOTS, Account

NOW_S = 1_792_000_000  # Wed, 14 Oct 2026 17:46:40 GMT


@pytest.fixture(scope="module")
def other(session_models: Stand) -> Iterator[Host]:
    with session_models.beside(SLOTS[1]) as host:
        yield host


@pytest.fixture
def two(models: Stand, other: Host) -> Iterator[tuple[Client, Client]]:
    """Connections to two planes on one segment; no key rests because of another test."""
    models.later(700_000)
    with models.connect() as first, other.connect() as second:
        yield first, second


def call(client: Client, account: Account, model: str, **more: int) -> Answer:
    client.send(ask(account, body(model, **more)))
    return client.read()


def keys_of(models: Stand, name: str) -> str:
    """The last digit of each key that the provider was asked with."""
    return "".join(arrival.one("authorization")[-1] for arrival in models.oracle.named(name))


def look(models: Stand, name: str, number: int = 0) -> tuple[int, ...]:
    return Credentials(models.segment).look(name, f"pk-{name}-{number}")


def of_google(talk: Talk) -> None:
    talk.read_body()
    delay = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37s"}
    error = {"code": 429, "message": "no", "status": "RESOURCE_EXHAUSTED", "details": [delay]}
    talk.answer(429, json.dumps({"error": error}).encode(), "Content-Type: application/json")


def in_mid_stream(talk: Talk) -> None:
    talk.read_body()
    error = b'data: {"error": {"message": "slow down", "type": "rate_limit_exceeded"}}\n\n'
    talk.send(STREAM + chunk(error) + b"0\r\n\r\n")


@pytest.mark.parametrize(
    ("script", "state", "seconds"),
    [
        (refusing(429, "rate_limit_exceeded", "Retry-After: 30"), CredentialState.RESTING, 30),
        (refusing(429, "rate_limit_exceeded", "Retry-After-Ms: 2500"), CredentialState.RESTING, 2.5),
        (refusing(429, "rate_limit_exceeded", "X-RateLimit-Remaining-Tokens: 0", "X-RateLimit-Reset-Tokens: 1m2s"),
         CredentialState.RESTING, 62),
        (refusing(429, "rate_limit_exceeded"), CredentialState.RESTING, 1),
        (refusing(401, "authentication_error"), CredentialState.REFUSED, 600),
        (refusing(402, "billing"), CredentialState.UNPAID, 600),
        (refusing(429, code="insufficient_quota"), CredentialState.UNPAID, 600),
        (refusing(403, "permission_error"), CredentialState.OK, 0),
        (refusing(500, "server_error", "Retry-After: 30"), CredentialState.OK, 0),
    ],
)  # fmt: skip
def test_what_one_worker_is_told_of_a_key_all_heed(
    models: Stand, two: tuple[Client, Client], script: Script, state: CredentialState, seconds: float
) -> None:
    account = models.account()
    first, second = two
    with models.serving(main=script):
        call(first, account, "plain")
    why, rests_ms, *_ = look(models, "main")
    assert CredentialState(why) is state
    assert max(seconds * 1_000 - 900, 0) <= rests_ms <= seconds * 1_000
    with models.serving(main=whole(7, 20)):
        answer = call(second, account, "plain")
        if state is CredentialState.OK:
            assert answer.status == 200
            return
        assert len(models.oracle.named("main")) == 1
        assert answer.status == (429 if state is CredentialState.RESTING else 503)
        if answer.status == 429:
            assert seconds - 1 <= int(answer.one("retry-after")) <= seconds + 1
        models.later(int(seconds * 1_000))
        assert [call(client, account, "plain").status for client in two] == [200, 200]
    assert look(models, "main")[:3] == (CredentialState.OK, 0, 0)


def test_a_pause_is_also_told_in_a_body_in_mid_stream_and_by_what_is_left(
    models: Stand, two: tuple[Client, Client]
) -> None:
    account = models.account()
    left = ("X-RateLimit-Remaining-Requests: 0", "X-RateLimit-Reset-Requests: 6m0s", "X-RateLimit-Remaining-Tokens: 9")
    with models.serving(gemini=of_google, main=in_mid_stream, spare=whole(7, 20, 0, *left)):
        assert call(two[0], account, "gemini").one("retry-after") == "37"
        assert 30_000 < look(models, "gemini")[1] <= 37_000
        assert call(two[0], account, "either", stream=True).status == 200  # by the other
        assert look(models, "main")[0] == CredentialState.RESTING
        assert 350_000 < look(models, "spare")[1] <= 360_000
        assert call(two[1], account, "either").status == 429
    assert len(models.oracle.named("spare")) == 1


def test_calls_go_round_the_keys_that_are_left(models: Stand, two: tuple[Client, Client]) -> None:
    account = models.account()
    before = [look(models, "many", number)[3:] for number in range(3)]

    def knows_two(talk: Talk) -> None:
        refused = talk.arrival.one("authorization")[-1] == "0"
        (refusing(401, "authentication_error") if refused else whole(7, 20))(talk)

    with models.serving(many=knows_two):
        assert [call(two[number % 2], account, "keyed").status for number in range(8)] == [200] * 8
    assert (keys_of(models, "many").count("0"), len(models.oracle.named("many"))) == (1, 9)
    for number, more in enumerate(((1, 0, 1), (4, 0, 0), (4, 0, 0))):
        now = look(models, "many", number)[3:]
        assert tuple(count - was for count, was in zip(now, before[number], strict=True)) == more
    assert account.captured() == 8 * (CALL + 7 * INPUT + 20 * OUTPUT)


def test_a_provider_is_asked_for_no_more_than_it_allows_each_key(models: Stand, two: tuple[Client, Client]) -> None:
    """Three calls a minute and 300 tokens for each of two keys; what a call holds of tokens comes back when it ends."""
    account = models.account()
    with models.serving(limited=whole(7, 20), spare=whole(7, 20)):
        assert [call(two[number % 2], account, "limited").status for number in range(6)] == [200] * 6
        answer = call(two[0], account, "limited")
        assert (answer.status, 1 <= int(answer.one("retry-after")) <= 20) == (429, True)
        assert sorted(keys_of(models, "limited")) == ["0"] * 3 + ["1"] * 3
        assert call(two[1], account, "limited-first").one("x-fastgw-model") == "spare/spare-1"
        models.later(60_000)
        assert call(two[1], account, "limited-first").one("x-fastgw-model") == "limited/limited-1"
    models.later(60_000)
    with models.serving(limited=whole(7, 290)):
        assert [call(client, account, "limited", max_tokens=250).status for client in two] == [200, 200]
        answer = call(two[0], account, "limited", max_tokens=250)
    assert (answer.status, 40 <= int(answer.one("retry-after")) <= 60) == (429, True)


@pytest.mark.parametrize(
    ("ms", "field", "expected"),
    [
        (b"", b"", 0), (b"", b"7", 7_000), (b"", b"0.25", 250), (b"1500.5", b"7", 1_501), (b"", b"-3", 0),
        (b"", b"Wed, 14 Oct 2026 17:46:50 GMT", 10_000), (b"", b"Wed, 14 Oct 2026 17:46:30 GMT", 0),
        (b"", b"soon", 0), (b"never", b"1", 0), (b"", b"1e999", 0),
    ],
)  # fmt: skip
def test_retry_after_is_read_as_it_is_written(ms: bytes, field: bytes, expected: int) -> None:
    assert asked_ms(ms, field, NOW_S) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1s", 1_000), ("6m0s", 360_000), ("120ms", 120), ("1h2m3.5s", 3_723_500), ("7.66s", 7_660), ("1m", 60_000),
        ("12", 12_000), ("59.5", 59_500), ("1792000010", 10_000), ("2026-10-14T17:46:45Z", 5_000), ("1d", 86_400_000),
        ("2026-10-14T17:46:35Z", 0), ("", 0), ("soon", 0), ("1.2.3s", 0), ("nan", 0), ("-1", 0), ("inf", 0),
    ],
)  # fmt: skip
def test_a_reset_is_read_as_providers_write_it(text: str, expected: int) -> None:
    assert reset_ms(text, NOW_S) == expected

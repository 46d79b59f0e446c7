"""A worker is killed as soon as it has sent something: what a caller has got by then is charged, whatever it is."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest

from .client import TruncatedError
from .modelling import CALL, DONE, INPUT, OUTPUT, STREAM, Stand, ask, body, chunk, event, tokens_of, usage, whole
from .oracle import Talk
from .tunnelling import SLOTS

INPUT_MOST = 64
TOKENS = 3


@pytest.mark.parametrize("sent", [1, 2, pytest.param(3, marks=pytest.mark.slow), 4])
def test_what_has_been_sent_of_a_stream_is_charged_whenever_its_worker_is_killed(models: Stand, sent: int) -> None:
    """Of its tokens, each sent when the one before has come; the last that is sent is the end, with the usage."""
    account, come = models.account(), threading.Semaphore(0)

    def script(talk: Talk) -> None:
        talk.read_body()
        talk.send(STREAM + chunk(event()))
        for _ in range(TOKENS - 1):
            come.acquire(timeout=5)
            talk.send(chunk(event()))
        come.acquire(timeout=5)
        talk.send(chunk(usage(7, TOKENS) + DONE) + b"0\r\n\r\n")
        talk.gone()

    got = b""
    with models.beside(SLOTS[1]) as host, models.serving(main=script):
        host.tell(f"!{sent}")
        with host.connect() as client:
            client.send(ask(account, body(stream=True)))
            with suppress(TruncatedError):
                while True:
                    got += client.until(b"\n\n")
                    come.release()
        come.release(TOKENS)
        host.process.wait(5)
    models.segment.recover(SLOTS[1])
    tokens = tokens_of(got)
    assert tokens == min(sent, TOKENS)
    if sent > TOKENS:
        assert account.captured() == CALL + 7 * INPUT + TOKENS * OUTPUT
    else:
        assert CALL + tokens * OUTPUT < account.captured() <= CALL + INPUT_MOST * INPUT + tokens * OUTPUT


def test_a_whole_answer_is_charged_when_its_worker_is_killed_as_it_sends_it(models: Stand) -> None:
    account = models.account()
    with models.beside(SLOTS[1]) as host, models.serving(main=whole(7, 20)):
        host.tell("!1")
        with host.connect() as client:
            client.send(ask(account, body()))
            assert client.read().status == 200
        host.process.wait(5)
    models.segment.recover(SLOTS[1])
    assert account.captured() == CALL + 7 * INPUT + 20 * OUTPUT

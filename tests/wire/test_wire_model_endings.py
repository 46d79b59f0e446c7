"""How calls to models end before their time: a client that goes, a provider that fails, a worker that must end."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack

import msgspec
import pytest

from .client import TruncatedError
from .modelling import (
    CALL,
    DONE,
    INPUT,
    OUTPUT,
    STREAM,
    Stand,
    ask,
    body,
    chunk,
    config,
    event,
    stream,
    tokens_of,
    usage,
    whole,
)
from .oracle import Script, Talk
from .rig import eventually

INPUT_MOST = 64


def pausing(count: int, seen: list[float], flood: bool = False) -> Script:
    """A script that streams so many tokens and is silent then, or never ends, and notes when it is left."""

    def script(talk: Talk) -> None:
        talk.read_body()
        talk.send(STREAM)
        for _ in range(count):
            talk.send(chunk(event()))
        try:
            while flood:
                talk.send(chunk(event("tok " + "x" * 8_000)))
        except OSError:
            talk.close()
        else:
            talk.gone()
        seen.append(time.monotonic())

    return script


@pytest.mark.parametrize("how", ["resets", "closes"])
def test_a_client_that_leaves_a_silent_stream_is_noticed_and_pays_for_what_it_got(models: Stand, how: str) -> None:
    account, left = models.account(), list[float]()
    with models.serving(main=pausing(5, left)), models.row() as rows:
        client = models.connect()
        client.send(ask(account, body(stream=True)))
        for _ in range(5):
            client.until(b"tok ")
        start = time.monotonic()
        if how == "resets":
            client.reset()
        else:
            client.socket.close()
        assert eventually(lambda: left != [], 3)
    assert left[0] - start < 1
    assert (rows[0].status, rows[0].verdict.name) == (499, "CLIENT_GONE")
    assert CALL + 5 * OUTPUT < account.captured() <= CALL + 5 * OUTPUT + INPUT_MOST * INPUT


def test_a_client_that_leaves_while_a_whole_answer_is_made_is_noticed(models: Stand) -> None:
    account, left = models.account(), list[float]()

    def silent(talk: Talk) -> None:
        talk.read_body()
        talk.gone()
        left.append(time.monotonic())

    with models.serving(main=silent), models.connect() as client:
        client.send(ask(account, body()))
        models.oracle.wait_for("main")
        start = time.monotonic()
        client.socket.close()
        assert eventually(lambda: left != [], 3)
    assert left[0] - start < 1
    assert account.captured() == 0


def test_a_client_that_has_only_closed_its_side_gets_its_stream(models: Stand) -> None:
    account = models.account()

    def script(talk: Talk) -> None:
        talk.read_body()
        talk.send(STREAM + chunk(event()))
        time.sleep(0.9)
        talk.send(chunk(event() + usage(7, 2) + DONE) + b"0\r\n\r\n")

    with models.serving(main=script), models.connect() as client:
        client.send(ask(account, body(stream=True)))
        client.half_close()
        answer = client.read()
    assert tokens_of(answer) == 2
    assert account.captured() == CALL + 7 * INPUT + 2 * OUTPUT


def test_a_client_that_reads_nothing_holds_its_provider_up_and_then_pays(models: Stand) -> None:
    account, left = models.account(10**7), list[float]()
    with models.serving(main=pausing(1, left, flood=True)), models.row() as rows:
        client = models.connect(receive_buffer=4_096)
        client.send(ask(account, body("stepping", stream=True)))
        client.until(b"tok ")
        time.sleep(0.5)
        before = models.host_memory()
        time.sleep(0.3)
        assert models.host_memory() - before < 2 << 20
        models.host.tell("+61000")
        assert eventually(lambda: left != [], 5)
        client.socket.close()
    assert rows[0].verdict.name == "CLIENT_GONE"
    assert account.captured() > CALL + OUTPUT


@pytest.mark.parametrize("streams", [False, True])
def test_a_provider_that_falls_silent_is_given_up(models: Stand, streams: bool) -> None:
    account, left = models.account(), list[float]()

    def silent(talk: Talk) -> None:
        talk.read_body()
        talk.gone()

    with models.serving(main=pausing(5, left) if streams else silent), models.connect() as client, models.row() as rows:
        client.send(ask(account, body(stream=streams)))
        if streams:
            client.until(b"tok ")
        models.oracle.wait_for("main")
        time.sleep(0.1)
        models.host.tell("+601000")
        if streams:
            assert b"upstream_timeout" in client.until(b"0\r\n\r\n")
        else:
            answer = client.read()
            assert (answer.status, json.loads(answer.body)["error"]["code"]) == (504, "upstream_timeout")
    assert rows[0].verdict.name == "UPSTREAM_TIMEOUT"
    assert account.captured() >= (CALL + 5 * OUTPUT if streams else 0)


@pytest.mark.parametrize("model", ["plain", "dearer"])
def test_a_stream_that_fails_at_once_and_is_not_ended_ends_for_the_caller(models: Stand, model: str) -> None:
    """Nobody else is left to be asked, or only who costs more than there is: the caller gets what there is, of whom
    it is, and for his price."""
    account = models.account(20, INPUT_MOST)

    def script(talk: Talk) -> None:
        talk.read_body()
        talk.send(STREAM + chunk(event()) + chunk(b'data: {"error": {"message": "no", "type": "server_error"}}\n\n'))
        talk.gone()

    with models.serving(main=script), models.connect() as client:
        client.socket.settimeout(5)
        client.send(ask(account, body(model, stream=True)))
        answer = client.read()
    assert (answer.status, answer.one("x-fastgw-model")) == (200, "main/main-1")
    assert tokens_of(answer) == 1
    assert b'"error"' in answer.body
    assert CALL + OUTPUT < account.captured() <= CALL + OUTPUT + INPUT_MOST * INPUT


def test_a_draining_worker_lets_streams_finish_or_ends_them_in_dialect(models: Stand) -> None:
    account, left = models.account(), list[float]()
    with models.serving(main=pausing(5, left)), models.connect() as client, models.row() as rows:
        client.send(ask(account, body(stream=True)))
        for _ in range(5):
            client.until(b"tok ")
        models.host.tell("drain")
        data = client.until(b"0\r\n\r\n")
    assert b"upstream_timeout" in data
    assert rows[0].cost == account.captured() > CALL + 5 * OUTPUT


def test_a_stream_ends_by_the_terms_that_it_began_with(models: Stand) -> None:
    account = models.account()
    steps: list[str] = []

    def script(talk: Talk) -> None:
        talk.read_body()
        talk.send(STREAM + chunk(event()))
        assert eventually(lambda: steps != [])
        talk.send(chunk(event() + usage(7, 2) + DONE) + b"0\r\n\r\n")

    with models.serving(main=script), models.connect() as client:
        client.send(ask(account, body(stream=True)))
        client.until(b"tok ")
        models.host.reconfigure(config(models.oracle.port, models.dead, dearer=10))
        steps.append("dearer")
        client.until(b"0\r\n\r\n")
        assert account.captured() == CALL + 7 * INPUT + 2 * OUTPUT
        with models.serving(main=whole(1, 1)):
            client.send(ask(account, body()))
            assert client.read().status == 200
    models.host.reconfigure(config(models.oracle.port, models.dead))
    assert account.captured() == CALL + 7 * INPUT + 2 * OUTPUT + CALL + 10 * (INPUT + OUTPUT)


@pytest.mark.parametrize("bounded", [False, True])
def test_an_answer_that_is_too_large_to_be_taken_in_is_refused_and_paid(models: Stand, bounded: bool) -> None:
    account, left = models.account(10**6), list[bool]()
    mib = b" " * (1 << 20)

    def script(talk: Talk) -> None:
        talk.read_body()
        framing = b"Content-Length: 70000000" if bounded else b"Transfer-Encoding: chunked"
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + framing + b"\r\n\r\n")
        try:
            while True:
                talk.send(mib if bounded else chunk(mib))
        except OSError:
            left.append(True)
        talk.close()

    with models.serving(main=script), models.connect() as client, models.row() as rows:
        client.send(ask(account, body()))
        answer = client.read()
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (502, "answer_too_large")
    assert rows[0].verdict.name == "ANSWER_TOO_LARGE"
    assert CALL + 1_000 * OUTPUT < account.captured() <= CALL + 1_000 * OUTPUT + INPUT_MOST * INPUT
    assert eventually(lambda: left == [True])


def test_short_of_memory_a_call_is_refused_in_its_caller_s_dialect(models: Stand) -> None:
    """On a connection that is not idle; those are closed, and one that comes is refused before it has said anything."""
    account = models.account()
    base = config(models.oracle.port, models.dead)
    server = msgspec.structs.replace(base.server, memory_max_bytes=1 << 20)
    expected = {"/v1/chat/completions": "api_error", "/v1/messages": "overloaded_error"}

    def eased() -> None:
        models.host.reconfigure(base)
        assert eventually(lambda: models.segment.worker(models.slot)["pressure"] == 0)

    with ExitStack() as stack:
        stack.callback(eased)
        clients = {path: stack.enter_context(models.connect()) for path in expected}
        for path, client in clients.items():
            client.send(ask(account, body(), path=path)[:20])
        models.host.reconfigure(msgspec.structs.replace(base, server=server))
        assert eventually(lambda: models.segment.worker(models.slot)["pressure"] == 2)
        for path, client in clients.items():
            with models.row() as rows:
                client.send(ask(account, body(), path=path)[20:])
                answer = client.read()
            error = json.loads(answer.body)["error"]
            assert (answer.status, error["type"], error["code"]) == (503, expected[path], "overloaded")
            assert rows[0].verdict.name == "OVERLOADED"
        assert models.oracle.arrivals == []
    assert account.captured() == 0


@pytest.mark.parametrize("how", ["cut", "short", "not json"])
def test_a_whole_answer_that_is_none_costs_nothing(models: Stand, how: str) -> None:
    account = models.account()

    def script(talk: Talk) -> None:
        talk.read_body()
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n")
        talk.send(b"[1, nonse" if how == "not json" else b"[1, ")
        if how == "cut":
            talk.reset()
        talk.close()

    with models.serving(main=script), models.connect() as client:
        client.send(ask(account, body()))
        answer = client.read()
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (502, "upstream_failed")
    assert account.captured() == 0


def test_sound_that_is_cut_is_cut_for_the_caller(models: Stand) -> None:
    account = models.account()

    def script(talk: Talk) -> None:
        talk.read_body()
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nContent-Length: 1000\r\n\r\nabc")
        time.sleep(0.1)
        talk.reset()

    with models.serving(main=script), models.connect() as client:
        client.send(ask(account, json.dumps({"model": "plain", "input": "hi"}).encode(), path="/v1/audio/speech"))
        with pytest.raises(TruncatedError):
            client.read()
    assert account.captured() == 0


def test_a_body_that_never_comes_holds_nothing_for_long(models: Stand) -> None:
    account = models.account()
    with models.connect() as client, models.row() as rows:
        client.send(ask(account, body())[:-5])
        time.sleep(0.1)
        models.host.tell("+31000")
        answer = client.read()
    assert (answer.status, rows[0].verdict.name) == (408, "REQUEST_TIMEOUT")
    assert account.captured() == 0


def test_a_stream_that_is_answered_at_once_is_not_confused_with_the_next(models: Stand) -> None:
    account = models.account()
    with models.serving(main=stream(3)), models.connect() as client:
        client.send(ask(account, body(stream=True)) * 3)
        assert [tokens_of(client.read()) for _ in range(3)] == [3, 3, 3]
    assert account.captured() == 3 * (CALL + 7 * INPUT + 3 * OUTPUT)

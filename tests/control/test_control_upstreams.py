"""Upstreams as the admin API shows them, targets that come and go by it, and what /metrics says of servers."""

from collections.abc import Iterator

import pytest
from admin_rig import Served

from fastgw._credentials import Credentials
from fastgw._targets import Targets

PATH = "/v1/upstreams/one"
SOCKET = "unix:/run/app.sock"


@pytest.fixture
def targets(real: Served) -> Iterator[list[str]]:
    """Names of targets to be removed in the end."""
    added: list[str] = []
    yield added
    for name in added:
        real("DELETE", f"{PATH}/targets/{name}")


def test_an_upstream_is_shown_with_its_targets_and_servers(real: Served) -> None:
    [found] = real("GET", "/v1/upstreams").json()["items"]
    assert found == real("GET", PATH).json()
    assert found["targets"] == [
        {"name": "127.0.0.1:9001", "url": "http://127.0.0.1:9001", "origin": "configuration", "weight": 1,
         "drained": False, "expand": False, "problem": ""}
    ]  # fmt: skip
    [server] = found["servers"]
    assert (server["name"], server["addresses"], server["state"]) == ("127.0.0.1:9001", ["127.0.0.1"], "up")
    assert (found["balance"], found["targets_file"], server["checked"]) == ("round_robin", "", None)


def test_models_are_shown_with_prices_and_the_state_of_who_serves_them(real: Served) -> None:
    fast, gone = real("GET", "/v1/models").json()["items"]
    [target] = fast["targets"]
    assert (fast["name"], fast["max_tokens"], fast["listed"], gone["listed"]) == ("fast", 4096, True, False)
    assert (target["provider"], target["model"], target["state"]) == ("one", "m-1", "up")
    assert (target["price"]["input"], target["price"]["output"], target["price"]["above"]) == ("0.15", "0.6", None)
    assert gone["targets"][0]["state"] == "unknown"
    assert gone["targets"][0]["price"]["above"]["input"] == "0.000000001"
    real("PATCH", f"{PATH}/targets/127.0.0.1:9001", {"drained": True})
    try:
        [target] = real("GET", "/v1/models").json()["items"][0]["targets"]
        assert (target["state"], target["why"]) == ("down", "drained")
    finally:
        real("PATCH", f"{PATH}/targets/127.0.0.1:9001", {"drained": False})


def test_keys_of_providers_are_shown_by_their_place(real: Served) -> None:
    table = Credentials(real.parts.segment)
    keys = [table.standing("one", secret, None, None) for secret in ("sk-one-1", "sk-one-2")]
    assert keys[0].take(0) is not None
    keys[0].rest(30_000)

    def state() -> tuple[str, str]:
        [target] = real("GET", "/v1/models").json()["items"][0]["targets"]
        return target["state"], target["why"]

    assert state() == ("up", "1 of 2 keys resting")
    answer = real("GET", "/v1/models")
    [provider] = answer.json()["providers"]
    first, second = provider["keys"]
    assert "sk-one" not in answer.text
    assert (first["key"], first["state"], first["calls"], first["rests"]) == (1, "resting", 1, 1)
    assert first["since"] < first["until"]
    assert second == {
        "key": 2, "state": "ok", "since": None, "until": None, "calls": 0, "rests": 0, "refusals": 0,
    }  # fmt: skip
    keys[1].refuse(True)
    assert state() == ("resting/unpaid", "2 of 2 keys resting/unpaid")
    metrics = real("GET", "/metrics").text
    assert 'fastgw_provider_key_state{key="2",provider="one"} 3.0' in metrics
    assert 'fastgw_provider_key_rests_total{key="1",provider="one"} 1.0' in metrics


def test_a_target_is_added_drained_and_removed(real: Served, targets: list[str]) -> None:
    made = real("POST", f"{PATH}/targets", {"url": SOCKET, "weight": 3})
    targets.append(SOCKET)
    assert (made.status_code, made.json()["name"], made.json()["origin"]) == (201, SOCKET, "api")
    assert real("POST", f"{PATH}/targets", {"url": SOCKET}).json()["code"] == "conflict"
    for path in (f"{PATH}/targets/{SOCKET}", f"{PATH}/targets/unix:%2Frun%2Fapp.sock"):
        assert real("PATCH", path, {"drained": True}).json()["drained"] is True
        assert [server["state"] for server in real("GET", PATH).json()["servers"]] == ["up", "drained"]
        assert real("PATCH", path, {"drained": False, "weight": 5}).json()["weight"] == 5
    [_, server] = real("GET", PATH).json()["servers"]
    assert (server["name"], server["weight"], server["state"]) == (SOCKET, 5, "up")
    assert real("DELETE", f"{PATH}/targets/{SOCKET}").status_code == 204
    assert real("DELETE", f"{PATH}/targets/{SOCKET}").json()["code"] == "not_found"
    assert len(real("GET", PATH).json()["servers"]) == 1


def test_what_is_declared_is_drained_here_and_changed_there(real: Served) -> None:
    path = f"{PATH}/targets/127.0.0.1:9001"
    for refused in (real("DELETE", path), real("PATCH", path, {"weight": 2})):
        assert (refused.status_code, refused.json()["code"]) == (409, "declared_in_file")
    assert real("PATCH", path, {"drained": True}).json()["drained"] is True
    assert real("PATCH", path, {"drained": False}).json()["drained"] is False


@pytest.mark.parametrize("body", [
    {}, {"url": "ftp://a.test"}, {"url": "http://user:secret@a.test"}, {"url": "http://a.test", "weight": 1_001},
    {"url": "http://a.test", "weight": -1}, {"url": "http://a.test\n"}, {"url": "http://a.test", "drained": True},
])  # fmt: skip
def test_what_is_no_target_is_refused(real: Served, body: dict[str, object]) -> None:
    answer = real("POST", f"{PATH}/targets", body)
    assert answer.status_code in (400, 422)
    assert "secret" not in answer.text
    assert len(real("GET", PATH).json()["targets"]) == 1


def test_there_is_nothing_of_an_upstream_that_is_not_there(real: Served) -> None:
    for method, path, body in (
        ("GET", "/v1/upstreams/two", None),
        ("POST", "/v1/upstreams/two/targets", {"url": "http://10.0.0.1"}),
        ("PATCH", "/v1/upstreams/two/targets/10.0.0.1:80", {"drained": True}),
        ("PATCH", f"{PATH}/targets/10.0.0.1:80", {"drained": True}),
    ):
        answer = real(method, path, body)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path


def test_what_cannot_be_kept_is_said_and_not_done(real: Served) -> None:
    by_hand = real.parts.discovery.by_hand
    by_hand.path, kept = "/nonexistent/targets.json", by_hand.path
    try:
        answer = real("POST", f"{PATH}/targets", {"url": "http://10.0.0.1"})
    finally:
        by_hand.path = kept
    assert (answer.status_code, answer.json()["code"]) == (503, "state_unavailable")
    assert answer.headers["retry-after"] == "1"
    assert len(real("GET", PATH).json()["targets"]) == 1


def test_what_workers_do_with_a_server_is_shown_and_measured(real: Served) -> None:
    table = Targets(real.parts.segment, 0)
    tally = table.tally("one", "127.0.0.1:9001")
    assert tally.enter(0)
    assert tally.connect(0)
    tally.failed()
    tally.eject(60_000)
    [server] = real("GET", PATH).json()["servers"]
    shown = {name: server[name] for name in ("state", "in_flight", "connections", "calls", "failures", "ejections")}
    assert shown == {"state": "ejected", "in_flight": 1, "connections": 1, "calls": 1, "failures": 1, "ejections": 1}
    lines = real.stranger.get("/metrics").text.splitlines()
    labels = '{target="127.0.0.1:9001",upstream="one"}'
    for name, value in (
        ("up", 1), ("calls_total", 1), ("failures_total", 1), ("retries_total", 0), ("ejections_total", 1),
        ("in_flight", 1), ("connections", 1),
    ):  # fmt: skip
        assert f"fastgw_target_{name}{labels} {value:.1f}" in lines
    tally.eject(0)
    tally.leave()
    tally.disconnect()
    tally.release()


def test_the_configuration_shows_targets_as_they_are_written(real: Served) -> None:
    assert real("GET", "/v1/config").json()["upstreams"] == [{"name": "one", "targets": ["http://127.0.0.1:9001"]}]

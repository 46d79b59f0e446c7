"""Everything put together: what rosters follow from configuration, file, names, checks and hands; and what is said."""

import asyncio
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme
from servers import Checked, Dns, eventually
from test_discovery_roster import target

from fastgw import upstream_tls
from fastgw.discovery import discovery, errors, health, watch
from fastgw.discovery.by_hand import ByHand
from fastgw.discovery.desk import Desk
from fastgw.discovery.discovery import Discovery
from fastgw.discovery.health import Health
from fastgw.model import Config, HealthCheck, Upstream, UpstreamTls
from fastgw.roster import Endpoint, Roster
from fastgw.settings import defaults

SERVER = defaults({"HOME": "/nonexistent"})
Make = Callable[..., "Found"]


def upstream(name: str, *urls: str, **fields: Any) -> Upstream:
    return Upstream(name, tuple(map(target, urls)), **fields)


def config(*upstreams: Upstream) -> Config:
    return Config(SERVER, upstreams, (), (), ())


class Found(Discovery):
    """One that has begun, and what it has published."""

    def __init__(self, names: Dns, directory: Path, former: Roster) -> None:
        self.rosters: list[Roster] = []
        resolver = names.resolver(directory)
        super().__init__(ByHand(str(directory)), former, self.rosters.append, lambda _: resolver)

    def begin(self, *upstreams: Upstream) -> Roster:
        self.start(config(*upstreams))
        first = self.settle()
        self.release(first)
        return first

    def now(self, name: str = "api") -> dict[str, Endpoint]:
        return {each.name: each for each in self.roster.upstreams[name]}

    def weights(self) -> dict[str, int]:
        return {name: each.weight for name, each in self.now().items()}


@pytest.fixture
def make(names: Dns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    monkeypatch.setattr(watch, "TTL_MIN_S", 0.02)
    monkeypatch.setattr(watch, "RETRY_S", 0.02)
    monkeypatch.setattr(discovery, "LOOK_S", 0.02)
    made: list[Found] = []

    def start(former: Roster | None = None) -> Found:
        made.append(Found(names, tmp_path, former or Roster({})))
        return made[-1]

    yield start
    for each in made:
        each.stop()


def test_a_name_is_one_server_with_its_addresses_or_one_for_each(make: Make, names: Dns) -> None:
    names.set("api.test", "A", "10.0.0.1", "10.0.0.2")
    names.set("api.test", "AAAA", "::5")
    one = upstream("one", "https://api.test:8443")
    many = Upstream("many", (target("https://api.test:8443", weight=3, expand=True),))
    first = make().begin(one, many)
    addresses = ("::5", "10.0.0.1", "10.0.0.2")
    [found] = first.upstreams["one"]
    assert found == Endpoint("api.test:8443", addresses, 8443, "", "api.test:8443", True, "api.test", number=1)
    assert [(each.name, each.addresses, each.authority, each.weight) for each in first.upstreams["many"]] == [
        ("[::5]:8443", ("::5",), "api.test:8443", 3),
        ("10.0.0.1:8443", ("10.0.0.1",), "api.test:8443", 3),
        ("10.0.0.2:8443", ("10.0.0.2",), "api.test:8443", 3),
    ]


def test_srv_records_are_servers_of_the_first_priority_with_their_weights(make: Make, names: Dns) -> None:
    srv = "_http._tcp.test"
    names.set(srv, "SRV", "1 0 9000 a.test.", "1 50 9000 b.test.", "2 9 9000 c.test.", "1 50 9000 gone.test.", ttl=0)
    for host in "abc":
        names.set(f"{host}.test", "A", f"10.0.0.{ord(host)}")
    found = make()
    found.begin(upstream("api", f"srv+http://{srv}"))
    assert found.weights() == {"a.test:9000": 1, "b.test:9000": 50}
    assert {each.authority for each in found.now().values()} == {"test"}
    names.set(srv, "SRV", "2 60000 9000 c.test.", "2 6 9001 c.test.", ttl=0)
    eventually(lambda: found.weights() == {"c.test:9000": 1_000, "c.test:9001": 1})
    names.set(srv, "SRV", "0 0 0 .", ttl=0)
    eventually(lambda: not found.now())
    assert found.rosters[-1] == found.roster


def test_what_is_not_known_yet_is_said_and_keeps_nobody_from_serving(
    make: Make, names: Dns, capfd: pytest.CaptureFixture[str]
) -> None:
    found = make()
    first = found.begin(upstream("api", "http://10.0.0.1", "http://api.test"), upstream("other", "http://other.test"))
    assert [each.name for each in first.upstreams["api"]] == ["10.0.0.1:80"]
    assert first.upstreams["other"] == ()
    said = capfd.readouterr().err
    assert "fastgw: warning: upstream api: api.test cannot be resolved: there is no such name; no call goes" in said
    names.set("api.test", "A", "10.0.0.2", ttl=0)
    eventually(lambda: len(found.now()) == 2)
    assert [len(roster.upstreams["api"]) for roster in found.rosters] == [2]
    eventually(lambda: "upstream api: api.test is resolved again" in capfd.readouterr().err)
    names.zone.clear()
    eventually(
        lambda: "api.test cannot be resolved: there is no such name; its last addresses" in capfd.readouterr().err
    )
    assert len(found.now()) == 2


def test_a_file_adds_to_the_configuration_and_may_break(
    make: Make, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "targets"
    found = make()
    first = found.begin(upstream("api", "http://10.0.0.1", targets_file=str(path)))
    assert [each.name for each in first.upstreams["api"]] == ["10.0.0.1:80"]
    assert f"fastgw: error: upstream api: {path}: cannot be read: No such file" in capfd.readouterr().err
    path.write_text("http://10.0.0.1 weight=9\nhttp://10.0.0.2 weight=3\n")
    eventually(lambda: found.weights() == {"10.0.0.1:80": 1, "10.0.0.2:80": 3})
    path.write_text("http://10.0.0.3\nnonsense\n")
    eventually(lambda: f'{path}:2: "nonsense": must be' in capfd.readouterr().err)
    assert found.weights() == {"10.0.0.1:80": 1, "10.0.0.2:80": 3}
    path.write_text("")
    eventually(lambda: found.weights() == {"10.0.0.1:80": 1})
    assert f"upstream api: {path} has no target" in capfd.readouterr().err


def test_a_configuration_that_is_refused_leaves_all_as_it_was(make: Make, names: Dns) -> None:
    names.set("new.test", "A", "10.0.0.9")
    found = make()
    first = found.begin(upstream("api", "http://10.0.0.1"))
    found.prepare(config(upstream("api", "http://new.test"), upstream("more", "http://10.0.0.2")))
    offered = found.settle()
    assert [each.addresses for each in offered.upstreams["api"]] == [("10.0.0.9",)], "resolved before it is served"
    found.release(None)
    assert (found.roster.upstreams, found.rosters) == (first.upstreams, [])
    found.prepare(config(upstream("api", "http://new.test")))
    found.release(found.settle())
    assert (list(found.now()), found.rosters) == (["new.test:80"], [])


def test_a_keeper_that_comes_after_another_takes_nothing_away_before_it_knows_better(
    make: Make, names: Dns, tmp_path: Path
) -> None:
    names.set("api.test", "A", "10.0.0.2")
    path = tmp_path / "targets"
    path.write_text("http://10.0.0.3")
    served = upstream("api", "http://10.0.0.1", "http://api.test", targets_file=str(path))
    before = make().begin(served)
    assert len(before.upstreams["api"]) == 3
    names.silent = True
    path.write_text("broken")
    after = make(before)
    after.start(config(served))
    after.release(before)
    assert (after.roster.upstreams, after.rosters) == (before.upstreams, [])
    path.write_text("http://10.0.0.4")
    names.silent = False
    eventually(lambda: set(after.now()) == {"10.0.0.1:80", "api.test:80", "10.0.0.4:80"})
    assert after.now()["api.test:80"] == before.upstreams["api"][1]


def test_a_server_is_checked_at_once_and_then_must_fail_or_succeed_some_times_in_a_row(
    make: Make, checked: Callable[[], Checked], capfd: pytest.CaptureFixture[str]
) -> None:
    well, ill = checked(), checked()
    ill.status = 503
    check = HealthCheck("/healthz?deep=1", interval_ms=20, timeout_ms=2_000, unhealthy_after=3, healthy_after=2)
    found = make()
    first = found.begin(upstream("api", well.url, ill.url, "http://127.0.0.1:1", health=check))
    assert [each.up for each in first.upstreams["api"]] == [True, False, False]
    said = capfd.readouterr().err
    assert f"upstream api: {ill.name} is down: GET /healthz?deep=1 answered 503\n" in said
    assert "upstream api: 127.0.0.1:1 is down: cannot connect: " in said
    assert well.paths[0] == ("/healthz?deep=1", well.name)
    well.status, ill.status = 500, 204
    eventually(lambda: (found.now()[well.name].up, found.now()[ill.name].up) == (False, True))
    said = capfd.readouterr().err
    assert f"{well.name} is down: GET /healthz?deep=1 answered 500, 3 times in a row" in said
    assert f"{ill.name} is up again" in said
    [view] = Desk(found).upstreams()
    assert [(each.up, each.reason != "", each.checked_s > 0) for each in view.servers] == [
        (False, True, True), (True, False, True), (False, True, True),
    ]  # fmt: skip
    found.prepare(config(upstream("api", well.url)))
    found.release(found.settle())
    assert (found.now()[well.name].up, found.checks) == (True, {})


@pytest.mark.parametrize(("first", "outcomes", "changes"), [
    (True, ["", "bad", "bad", "", "bad", "bad", "bad"], [0, 0, 0, 0, 0, 0, 1]),
    (True, ["bad", "", "bad", "", ""], [1, 0, 0, 0, 1]),
    (False, ["bad", "bad", "bad"], [0, 0, 1]),
])  # fmt: skip
def test_what_changes_an_opinion(first: bool, outcomes: list[str], changes: list[int]) -> None:
    opinion = Health(HealthCheck("/", unhealthy_after=3, healthy_after=2), up=True, is_new=first)
    assert [int(opinion.note(outcome)) for outcome in outcomes] == changes


def test_a_server_that_does_not_answer_in_time_or_speaks_no_http_is_down() -> None:
    async def answer(data: bytes) -> str:
        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(data)
            await asyncio.sleep(0.2 if not data else 0)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        endpoint = Endpoint("x", ("127.0.0.1",), port, "", "x", False, "")
        async with server:
            return await health.ask(endpoint, HealthCheck("/h", timeout_ms=100), None)

    assert asyncio.run(answer(b"")) == "GET /h was not answered within 100 ms"
    assert asyncio.run(answer(b"SSH-2.0-x\r\n")) == "GET /h was answered with no HTTP"
    assert asyncio.run(answer(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")) == ""
    assert asyncio.run(answer(b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n")) == "GET /h answered 400"


def test_a_server_is_checked_as_it_is_called_over_tls_and_on_a_unix_socket(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    secured = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("api.test").configure_cert(secured)
    trusted = upstream_tls.context(UpstreamTls(ca=str(tmp_path / "ca.pem")))
    check, path = HealthCheck("/h"), str(tmp_path / "socket")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.close()

    async def answers() -> list[str]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=secured)
        port = server.sockets[0].getsockname()[1]

        def at(name: str) -> Endpoint:
            return Endpoint("x", ("::1", "127.0.0.1"), port, "", name, True, name)

        async with server, await asyncio.start_unix_server(serve, path):
            return [
                await health.ask(at("api.test"), check, trusted),
                await health.ask(at("other.test"), check, trusted),
                await health.ask(at("api.test"), check, ssl.create_default_context()),
                await health.ask(at("api.test"), check, None),
                await health.ask(Endpoint("x", (), 0, path, "localhost", False, ""), check, None),
            ]

    good, misnamed, unknown, blind, on_socket = asyncio.run(answers())
    assert (good, on_socket) == ("", "")
    assert misnamed.startswith("its certificate is not valid: Hostname mismatch")
    assert unknown.startswith("its certificate is not valid: unable to get local issuer")
    assert blind == "it cannot be checked: the files of its upstream's tls cannot be used"


def test_what_people_say_of_targets_stays_across_restarts(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "targets"
    path.write_text("http://10.0.0.2")
    served = upstream("api", "http://10.0.0.1", targets_file=str(path))
    found = make()
    found.begin(served)
    desk = Desk(found)
    added = desk.add("api", "http://10.0.0.3", 5, False)
    assert (added.name, added.origin, added.weight) == ("10.0.0.3:80", "api", 5)
    assert desk.change("api", "10.0.0.1:80", None, True).drained
    desk.change("api", "10.0.0.3:80", 7, None)
    assert found.weights() == {"10.0.0.1:80": 0, "10.0.0.2:80": 1, "10.0.0.3:80": 7}
    assert found.rosters[-1] == found.roster
    again = make()
    again.begin(served)
    assert again.weights() == found.weights()
    desk = Desk(again)
    desk.change("api", "10.0.0.1:80", None, False)
    desk.remove("api", "10.0.0.3:80")
    assert again.weights() == {"10.0.0.1:80": 1, "10.0.0.2:80": 1}
    assert msgspec.json.decode((tmp_path / "targets.json").read_bytes()) == {}
    for refused, ask in (
        (errors.NotFound, lambda: desk.upstream("other")),
        (errors.NotFound, lambda: desk.add("other", "http://10.0.0.3", 1, False)),
        (errors.NotFound, lambda: desk.change("api", "10.0.0.3:80", None, True)),
        (errors.Conflict, lambda: desk.add("api", "http://10.0.0.2:80", 1, False)),
        (errors.Invalid, lambda: desk.add("api", "ftp://10.0.0.2", 1, False)),
        (errors.Declared, lambda: desk.remove("api", "10.0.0.2:80")),
        (errors.Declared, lambda: desk.change("api", "10.0.0.1:80", 2, None)),
    ):
        with pytest.raises(refused):
            ask()
    (tmp_path / "targets.json.new").mkdir()
    with pytest.raises(errors.Unavailable):
        desk.change("api", "10.0.0.1:80", None, True)
    assert again.weights() == {"10.0.0.1:80": 1, "10.0.0.2:80": 1}


@pytest.mark.parametrize("text", ["{", '{"api": 7}', '{"api": {"added": {"x": {"url": "ftp://x"}}}}'])
def test_what_was_said_by_hand_and_cannot_be_read_is_put_aside(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], text: str
) -> None:
    (tmp_path / "targets.json").write_text(text)
    assert ByHand(str(tmp_path)).added("api") == ()
    assert "targets.json.broken" in capfd.readouterr().err
    assert (tmp_path / "targets.json.broken").read_text() == text

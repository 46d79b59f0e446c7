"""The commands against the real admin server over a real segment, ledger, call log and gate."""

import json
import re
import socket
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fastgw._call import Peer
from fastgw._segment import Segment
from fastgw.calllog import CallLog, LogSettings
from fastgw.calllog.names import SegmentNames
from fastgw.cli import main
from fastgw.config.changes import reload_report
from fastgw.config.load import read
from fastgw.control.loads import TableOfLoads
from fastgw.control.server import AdminServer
from fastgw.control.services import Services
from fastgw.dataplane.admission import build_gate
from fastgw.discovery.by_hand import ByHand
from fastgw.discovery.desk import Desk
from fastgw.discovery.discovery import Discovery
from fastgw.dry_run import DryRun
from fastgw.ledger.books import Books
from fastgw.refusals import Refusal
from fastgw.roster import Roster, initial

FILE = """
[server]
admin = "127.0.0.1:{port}"
state_dir = "state"
workers = 1
keys_max = 64
accounts_max = 64
journal_records = 256

[[upstreams]]
name = "u"
targets = ["http://127.0.0.1:9001"]

[[routes]]
name = "chat"
path = "/v1"
upstream = "u"
price = "0.25"

[[plans]]
name = "gold"
requests_per_day = 3

[[accounts]]
name = "filed"
balance = "100"

[[keys]]
account = "filed"
key = "sk-filed-0001"
"""
PEER = Peer("192.0.2.1", 4711)


class Machine:
    """A gateway without sockets for calls: `call` decides and settles one as a worker would."""

    def __init__(self, directory: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.file = directory / "fastgw.toml"
        self.file.write_text(FILE.format(port=port))
        self.loaded = read(str(self.file), {}, {})
        config = self.loaded.config
        state_dir = config.server.state_dir
        Path(state_dir).mkdir()
        room = {"keys_max": 64, "accounts_max": 64, "routes_max": 8, "journal_records": 256}
        self.segment = Segment.create(str(directory / "segment"), secret=bytes(32), **room)
        self.segment.route_slot("chat")
        self.books = Books(self.segment, state_dir)
        self.books.open()
        self.books.apply(config)
        self.books.start()
        names = SegmentNames(self.segment, self.books.account_name, self.books.tag_name, initial(config))
        self.log = CallLog(self.segment, state_dir, names, LogSettings())
        self.log.start()
        self.gate = build_gate(self.segment, 0, config)
        dry_run = DryRun(self.segment, config)
        self.discovery = Discovery(ByHand(state_dir), Roster({}), lambda _: None)
        self.discovery.start(config)
        services = Services(
            state_dir=state_dir, segment=self.segment, books=self.books, settings=lambda: self.loaded,
            reload=self._reload, gate=lambda: dry_run, call_log=self.log, upstreams=Desk(self.discovery),
            loads=TableOfLoads(self.segment),
        )  # fmt: skip
        self.server = AdminServer(config.server.admin_address, services)
        self.server.start()

    def _reload(self) -> Any:
        return reload_report(self.loaded.config, read(str(self.file), {}, {}).config)

    def call(self, key: str, path: str = "/v1/chat") -> Refusal:
        data = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
        assert self.gate.begin(data, 0, len(data)) == 0
        verdict = Refusal(self.gate.decide(PEER))
        if verdict is Refusal.ADMITTED:
            self.gate.settle(self.gate.ticket(), 0, 200, True, -1, 10, 100, 1)
        else:
            self.gate.refuse(verdict, False)
        return verdict

    def stop(self) -> None:
        self.server.stop()
        self.discovery.stop()
        self.log.stop()
        self.books.stop()


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    found = Machine(tmp_path_factory.mktemp("machine"))
    yield found
    found.stop()


@pytest.fixture
def ask(machine: Machine, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command with --json; what it printed, after the exit code that is expected."""

    def run(*argv: str, code: int = 0) -> Any:
        ended = main([*argv, "--json", "-c", str(machine.file)])
        out, err = capsys.readouterr()
        assert ended == code, err
        return json.loads(out) if out.startswith(("{", "[")) and argv[0] != "logs" else out or err

    return run


def lines(out: str) -> Sequence[Any]:
    return [json.loads(line) for line in out.splitlines()]


def test_a_customer_comes_pays_calls_and_goes(machine: Machine, ask: Any) -> None:
    assert ask("account", "create", "acme", "--plan", "gold", "--credit", "0.5")["available"] == "0.5"
    assert ask("topup", "acme", "1.00", "--reference", "invoice-17", "--idempotency-key", "p1")["amount"] == "1"
    assert ask("topup", "acme", "1.00", "--reference", "invoice-17", "--idempotency-key", "p1")["kind"] == "topup"
    assert "idempotency" in ask("topup", "acme", "2.00", "--idempotency-key", "p1", code=1).lower()
    assert ask("balance", "acme") == [
        {"name": "acme", "balance": "1", "held": "0", "credit": "0.5", "available": "1.5"}
    ]

    made = ask("key", "create", "acme", "--name", "ci", "--budget", "10", "--budget-period", "day", "--rate", "100/s")
    secret, key_id = made["secret"], made["key"]["id"]
    assert machine.call(secret) is Refusal.ADMITTED
    assert ask("quote", key_id, "--route", "chat")["price"] == "0.25"
    assert ask("quote", key_id, "--path", "/v2", code=1)["verdict"] == "no_route"
    for _ in range(2):
        assert machine.call(secret) is Refusal.ADMITTED
    assert machine.call(secret) is Refusal.QUOTA_EXHAUSTED
    refused = ask("quote", key_id, "--route", "chat", code=1)
    assert (refused["verdict"], refused["limit"], refused["used"]) == ("quota_exhausted", 3, 3)

    assert ask("account", "show", "acme")["balance"] == "0.25"
    assert ask("key", "show", key_id)["budget_used"] == "0.75"
    topup, *captures = ask("entries", "acme")
    assert (topup["kind"], topup["amount"], topup["reference"]) == ("topup", "1", "invoice-17")
    assert {entry["kind"] for entry in captures} == {"capture"}
    assert sum(Decimal(entry["amount"]) for entry in captures) == Decimal("-0.75")
    assert ask("adjust", "acme", "-0.25", "--note", "put right")["amount"] == "-0.25"
    assert "available" in ask("adjust", "acme", "-100", "--note", "too much", code=1)
    assert ask("account", "suspend", "acme")["status"] == "suspended"
    assert machine.call(secret) is Refusal.ACCOUNT_SUSPENDED
    assert ask("account", "resume", "acme")["status"] == "active"
    assert ask("key", "revoke", key_id)["status"] == "revoked"
    assert machine.call(secret) is Refusal.REVOKED_KEY


def test_keys_change_and_are_rotated(machine: Machine, ask: Any) -> None:
    made = ask("key", "create", "filed", "--expires", "90d")
    key_id = made["key"]["id"]
    changed = ask("key", "change", key_id, "--budget", "0.25", "--expires", "never", "--rate", "5/m", "--burst", "2")
    assert (changed["budget"], changed["expires"], changed["rate"], changed["burst"]) == ("0.25", None, "5/m", 2)
    assert machine.call(made["secret"]) is Refusal.ADMITTED
    assert machine.call(made["secret"]) is Refusal.BUDGET_EXHAUSTED
    changed = ask("key", "change", key_id, "--budget", "none", "--rate", "none")
    assert (changed["budget"], changed["rate"]) == (None, None)
    another = ask("key", "rotate", key_id, "--grace", "1h")
    assert another["key"]["id"] != key_id
    for secret in (made["secret"], another["secret"]):
        assert machine.call(secret) is Refusal.ADMITTED
    ids = [key["id"] for key in ask("key", "list", "--account", "filed")]
    assert {key_id, another["key"]["id"]} <= set(ids)
    assert len(ids) == 3


def test_what_the_file_declares_is_changed_in_the_file(ask: Any) -> None:
    assert "file" in ask("account", "suspend", "filed", code=1)
    assert "no account" in ask("account", "show", "nobody", code=1)
    assert "already" in ask("account", "create", "filed", code=1)


def test_calls_are_remembered_filtered_and_added_up(machine: Machine, ask: Any) -> None:
    for path in ("/v1/once", "/v1/twice"):
        assert machine.call("sk-filed-0001", path) is Refusal.ADMITTED
    assert machine.call("sk-nobody-01") is Refusal.UNKNOWN_KEY
    machine.log.flush()
    found = lines(ask("logs", "--account", "filed", "--path", "/v1/twice", "--min-cost", "0.25"))
    assert [(call["path"], call["cost"], call["target"]) for call in found] == [("/v1/twice", "0.25", "127.0.0.1:9001")]
    assert lines(ask("logs", "--request-id", found[0]["request_id"])) == found
    latest = lines(ask("logs", "-n", "3"))
    assert [call["verdict"] for call in latest] == ["admitted", "admitted", "unknown_key"]
    everything = lines(ask("logs", "-n", "0"))
    assert everything[-3:] == latest
    assert len({call["position"] for call in everything}) == len(everything) > 3
    assert ask("logs", "--until", "2020-01-01") == ""

    usage = ask("usage", "--by", "account", "--every", "1h", "--account", "filed")
    assert usage["complete"]
    charged = [call for call in everything if call["account"] == "filed" and call["charged"]]
    assert sum(row["charged"] for row in usage["items"]) == len(charged)
    pairs = ask("usage", "--by", "account,route")["items"]
    assert sum(row["charged"] for row in pairs if (row["account"], row["route"]) == ("filed", "chat")) == len(charged)
    by_code = {row["code"]: row["calls"] for row in ask("usage", "--by", "code")["items"]}
    assert by_code["unknown_key"] >= 1


def test_tables_of_the_real_thing_have_all_their_columns(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.call("sk-filed-0001")
    machine.log.flush()
    for argv, empty in (
        (["account", "list"], {"plan", "expires"}),
        (["balance"], set()),
        (["logs", "--code", "admitted"], set()),
        (["usage", "--by", "route", "--every", "1d"], set()),
        (["entries", "filed", "-n", "1"], {"note", "reference"}),
    ):
        assert main([*argv, "-c", str(machine.file)]) == 0
        heading, first = capsys.readouterr().out.splitlines()[:2]
        cells = re.split(r"  +", first.strip())
        missing = [name for name, cell in zip(re.split(r"  +", heading.strip()), cells, strict=True) if cell == "-"]
        assert set(missing) <= empty, first


def test_the_audit_proves_that_all_of_it_agrees(machine: Machine, ask: Any) -> None:
    machine.call("sk-filed-0001")
    machine.log.flush()
    report = ask("audit")
    assert report["passed"]
    assert report["captured"] == report["logged"] != "0"


def test_a_reload_says_what_it_would_change_or_what_is_wrong(machine: Machine, ask: Any) -> None:
    text = machine.file.read_text()
    machine.file.write_text(text.replace('price = "0.25"', 'price = "0.5"').replace("keys_max = 64", "keys_max = 65"))
    outcome = ask("reload")
    assert outcome["changes"] == ["routes: 1 changed (chat: price 0.25 → 0.5)"]
    assert outcome["restart"] == ["server.keys_max: 64 → 65"]
    machine.file.write_text(text.replace('price = "0.25"', "price = 0.25"))
    assert f"{machine.file}:18: routes[0].price = 0.25: a bare decimal" in ask("reload", code=1)
    machine.file.write_text(text)
    assert ask("reload") == {"changes": [], "restart": []}


def test_targets_are_added_drained_and_removed(ask: Any) -> None:
    [found] = ask("upstreams")
    assert [server["state"] for server in found["servers"]] == ["up"]
    name = found["name"]
    assert ask("upstream", "add", name, "http://10.0.0.7:9000", "--weight", "3")["origin"] == "api"
    assert ask("upstream", "drain", name, "http://10.0.0.7:9000")["drained"] is True
    assert [server["state"] for server in ask("upstreams", name)["servers"]] == ["up", "drained"]
    assert ask("upstream", "undrain", name, "10.0.0.7:9000")["drained"] is False
    assert "has no target 10.0.0.8:80" in ask("upstream", "drain", name, "http://10.0.0.8", code=1)
    assert "declared in the configuration" in ask("upstream", "remove", name, found["targets"][0]["name"], code=1)
    assert ask("upstream", "remove", name, "10.0.0.7:9000") == {}
    assert "must be http://" in ask("upstream", "add", name, "ftp://x", code=2)
    assert len(ask("upstreams", name)["servers"]) == 1

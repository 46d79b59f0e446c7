"""A real admin server on a port of its own, over parts that keep everything in memory, or over the real ones."""

import time
from pathlib import Path
from typing import Any

import admin_fakes as fakes
import httpx
import msgspec
from msgspec import Struct
from ports import free_port

from fastgw._segment import Segment
from fastgw.calllog import CallLog, LogSettings, SegmentNames
from fastgw.control.loads import TableOfLoads
from fastgw.control.server import AdminServer
from fastgw.control.services import Services
from fastgw.discovery.by_hand import ByHand
from fastgw.discovery.desk import Desk
from fastgw.discovery.discovery import Discovery
from fastgw.dry_run import DryRun
from fastgw.ledger.books import Books
from fastgw.model import ConfigError, Problem
from fastgw.roster import Roster, initial


class Reloaded(Struct):
    changes: tuple[str, ...] = ("routes: 1 changed (api: price 0.001 → 0.002)",)
    restart: tuple[str, ...] = ("server.workers: 2 → 4",)


class Parts:
    """What the server is given, for a test to look at and to change."""

    def __init__(self, directory: Path) -> None:
        self.config = fakes.config()
        self.origins = {"workers": "fastgw.toml:3", "listen": "--listen"}
        self.books = fakes.Books(self.config)
        self.gate = fakes.Gate()
        self.call_log = fakes.CallLog()
        self.problems: list[Problem] = []
        self.rosters: list[Roster] = []
        path = directory / "segment"
        self.segment = Segment.create(
            str(path), secret=bytes(32), keys_max=4_096, accounts_max=4_096, routes_max=8, journal_records=256
        )
        self.discovery = Discovery(ByHand(str(directory)), Roster({}), self.rosters.append)
        self.discovery.start(self.config)
        self.discovery.release(Roster({}))
        self.segment.route_slot("api")
        self.segment.route_slot("open")

    def stop(self) -> None:
        self.discovery.stop()

    def reload(self) -> Reloaded:
        if self.problems:
            raise ConfigError(self.problems)
        return Reloaded()

    def services(self, state_dir: Path) -> Services:
        return Services(
            state_dir=str(state_dir),
            segment=self.segment,
            books=self.books,
            settings=lambda: self,
            reload=self.reload,
            gate=lambda: self.gate,
            upstreams=Desk(self.discovery),
            loads=TableOfLoads(self.segment),
            call_log=self.call_log,
        )


class RealParts(Parts):
    """The same with the ledger, the call log and the admission that a keeper has."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        state_dir = str(directory / "state")
        self.ledger = Books(self.segment, state_dir)
        names = SegmentNames(self.segment, self.ledger.account_name, self.ledger.tag_name, initial(self.config))
        self.log = CallLog(self.segment, state_dir, names, LogSettings())
        self.ledger.open()
        self.ledger.apply(self.config)
        self.ledger.start()
        self.log.start()
        self.dry_run = DryRun(self.segment, self.config)

    def services(self, state_dir: Path) -> Services:
        found = super().services(state_dir)
        return msgspec.structs.replace(found, books=self.ledger, call_log=self.log, gate=lambda: self.dry_run)

    def stop(self) -> None:
        super().stop()
        self.log.stop()
        self.ledger.stop()


class Served:
    """A server, and a client that has its token."""

    def __init__(self, directory: Path, address: str = "127.0.0.1", parts: type[Parts] = Parts) -> None:
        self.directory = directory
        (directory / "state").mkdir(mode=0o700)
        self.parts = parts(directory)
        self.port = free_port()
        self.server = AdminServer(f"{address}:{self.port}", self.parts.services(directory / "state"))
        self.server.start()
        self.url = f"http://127.0.0.1:{self.port}"
        self.stranger = httpx.Client(base_url=self.url, timeout=10)
        self.client = httpx.Client(
            base_url=self.url, timeout=10, headers={"Authorization": f"Bearer {self.server.token}"}
        )

    def __call__(self, method: str, path: str, body: Any = None, **others: Any) -> httpx.Response:
        return (
            self.client.request(method, path, json=body, **others)
            if body is not None
            else self.client.request(method, path, **others)
        )

    def stop(self) -> None:
        self.client.close()
        self.stranger.close()
        self.server.stop()
        self.parts.stop()


def eventually(condition: Any, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)

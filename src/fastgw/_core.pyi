"""Admission (types of the compiled module)."""

from typing import Any

from typing_extensions import disjoint_base

from fastgw._call import Peer, Ticket
from fastgw._http import RequestHead
from fastgw._segment import Segment
from fastgw.refusals import Template
from fastgw.rows import PlanRow, RouteRow

@disjoint_base
class Gate:
    def __init__(
        self,
        segment: Segment,
        worker: int,
        routes: list[RouteRow],
        templates: list[list[Template | None]],
        plans: list[PlanRow],
        *,
        fields_max: int = 100,
        key_header: bytes = b"",
        body_max: int = 0,
    ) -> None: ...
    def reload(
        self,
        routes: list[RouteRow],
        templates: list[list[Template | None]],
        plans: list[PlanRow],
        *,
        fields_max: int = 100,
        key_header: bytes = b"",
        body_max: int = 0,
    ) -> None: ...
    def quote(self, route: int, key: int) -> dict[str, Any]: ...
    @property
    def worker(self) -> int: ...
    @property
    def head(self) -> RequestHead: ...
    @property
    def route_index(self) -> int: ...
    def begin(self, data: bytes, start: int, end: int) -> int: ...
    def stranger(self, peer: Peer) -> None: ...
    def decide(self, peer: Peer) -> int: ...
    def refuse(self, verdict: int, close: bool) -> bytes: ...
    def ticket(self) -> Ticket: ...
    def request(self, ticket: Ticket, peer: Peer, host_line: bytes, body_start: int, body_end: int) -> bytes: ...
    def fail(self, ticket: Ticket, verdict: int, close: bool) -> bytes: ...
    def answered(self, ticket: Ticket) -> None: ...
    def settle(
        self,
        ticket: Ticket,
        verdict: int,
        status: int,
        charge: bool,
        cost: int,
        bytes_in: int,
        bytes_out: int,
        target: int,
    ) -> None: ...
    def answer_lines(self, ticket: Ticket, close: bool, dated: bool) -> bytes: ...
    def tick(self, date_line: bytes) -> None: ...
    def beat(self) -> None: ...
    def strain(self, memory: int, pressure: int, shed: int) -> None: ...
    def count(self, clients: int, upstreams: int, exchanges: int) -> None: ...

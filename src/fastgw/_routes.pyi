"""Routes (types of the compiled module)."""

from typing import Any

from typing_extensions import disjoint_base

from fastgw._http import RequestHead
from fastgw._segment import Segment
from fastgw.rows import PlanRow, RouteRow

@disjoint_base
class RouteTable:
    def __init__(self, segment: Segment, worker: int, routes: list[RouteRow], plans: list[PlanRow]) -> None: ...
    @property
    def count(self) -> int: ...
    def match(self, head: RequestHead) -> int: ...
    def quote(self, route: int, key: int) -> dict[str, Any]: ...

"""Routes (types of the compiled module)."""

from typing_extensions import disjoint_base

from fastgw._http import RequestHead
from fastgw._segment import Segment
from fastgw.dataplane.admission import RouteRow

@disjoint_base
class RouteTable:
    def __init__(self, segment: Segment, worker: int, routes: list[RouteRow]) -> None: ...
    @property
    def count(self) -> int: ...
    def match(self, head: RequestHead) -> int: ...

"""A call in flight (types of the compiled module)."""

from typing_extensions import disjoint_base

from fastgw._call import Ticket

@disjoint_base
class Flight:
    @property
    def worker(self) -> int: ...
    def extend(self, ticket: Ticket, nanos: int) -> int: ...
    def room(self, ticket: Ticket) -> int: ...
    def reserve(self, ticket: Ticket, tokens: int) -> int: ...
    def earn(self, ticket: Ticket, status: int, cost: int, bytes_in: int, bytes_out: int, target: int) -> None: ...
    def forgo(self, ticket: Ticket, nanos: int) -> None: ...
    def answered(self, ticket: Ticket) -> int: ...
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

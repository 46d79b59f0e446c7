"""Decides what the admin API needs of the parts it shows: protocols with no more methods than it calls."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from msgspec import UNSET, Struct, UnsetType

from ..calllog.views import Call, CallFilter, Interval, LogState, Usage
from ..discovery.views import TargetView, UpstreamView
from ..ledger.views import AccountView, AuditReport, EntryView, KeyView, LedgerState, TagView
from ..model import Config, Rate
from ..roster import Roster

Loads = Callable[[str, str], "Load"]  # of a server, by the names of its upstream and its own
Costs = Callable[[], tuple[Mapping[str, int], int]]  # nanos by account name, and of rows that were dropped


class Books(Protocol):
    """The ledger's thread-safe face. What changes something returns when it is durable; see `ledger.errors`."""

    def accounts(self, after: str = "", limit: int = 100) -> list[AccountView]: ...
    def account(self, name: str) -> AccountView: ...
    def create_account(
        self, name: str, *, credit_nanos: int = 0, plan: str = "", expires_s: int = 0, suspended: bool = False
    ) -> AccountView: ...
    def change_account(
        self,
        name: str,
        *,
        credit_nanos: int | None = None,
        plan: str | None = None,
        expires_s: int | None = None,
        suspended: bool | None = None,
    ) -> AccountView: ...
    def top_up(
        self,
        name: str,
        amount_nanos: int,
        *,
        reference: str = "",
        note: str = "",
        expires_s: int = 0,
        idempotency_key: str = "",
    ) -> EntryView: ...
    def adjust(
        self, name: str, amount_nanos: int, *, note: str, reference: str = "", idempotency_key: str = ""
    ) -> EntryView: ...
    def entries(self, name: str, after: int = 0, limit: int = 100) -> list[EntryView]: ...
    def keys(self, account: str = "", after: str = "", limit: int = 100) -> list[KeyView]: ...
    def key(self, key_id: str, /) -> KeyView: ...
    def create_key(
        self,
        account: str,
        *,
        name: str = "",
        rate: Rate | None = None,
        budget_nanos: int = 0,
        budget_period: str = "",
        expires_s: int = 0,
        token_rate: Rate | None = None,
        models: tuple[str, ...] = (),
        identity: str = "",
    ) -> tuple[KeyView, str]: ...
    def change_key(
        self,
        key_id: str,
        /,
        *,
        name: str | UnsetType = UNSET,
        rate: Rate | UnsetType | None = UNSET,
        budget_nanos: int | UnsetType = UNSET,
        budget_period: str | UnsetType = UNSET,
        expires_s: int | UnsetType = UNSET,
        token_rate: Rate | UnsetType | None = UNSET,
        models: tuple[str, ...] | UnsetType = UNSET,
    ) -> KeyView: ...
    def rotate_key(self, key_id: str, /, *, grace_s: int = 0) -> tuple[KeyView, str]: ...
    def revoke_key(self, key_id: str, /) -> KeyView: ...
    def tags(self, account: str, after: str = "", limit: int = 100) -> list[TagView]: ...
    def create_tag(
        self, account: str, name: str, *, budget_nanos: int = 0, budget_period: str = "", expires_s: int = 0
    ) -> TagView: ...
    def remove_tag(self, account: str, name: str, /) -> None: ...
    def find_key(self, presented: str, /) -> KeyView: ...
    def key_index(self, key_id: str, /) -> int:
        """The key's place in the segment."""
        ...

    def audit(self, log_costs: Costs | None = None, /) -> AuditReport: ...
    def state(self) -> LedgerState:
        """How the ledger is; never waits for the disk."""
        ...


class Gate(Protocol):
    """Admission's own code, asked and not used: nothing is taken, held or recorded."""

    def match(self, method: str, host: str, path: str) -> int:
        """The index of the route that would take the request, -1 for none."""
        ...

    def quote(self, route_index: int, key_index: int) -> Mapping[str, Any]:
        """`price` in nanos, `verdict` a Refusal, `wait_ns`, `policy`, and by its name each Number of that verdict.

        Money among them is in nanos, a time in Unix seconds, 0 for never. `available` is None where nothing is paid.
        """
        ...


class Load(Struct, frozen=True):
    """What all workers do with a server, and have done since the segment was made; `ejected` workers pass it over."""

    in_flight: int = 0
    connections: int = 0
    calls: int = 0
    failures: int = 0
    retries: int = 0
    ejections: int = 0
    ejected: int = 0


class Upstreams(Protocol):
    """The discovery's thread-safe face; see `discovery.errors`. What changes something returns when it is on the disk,
    and on its way to the workers."""

    def upstreams(self) -> list[UpstreamView]: ...
    def upstream(self, name: str, /) -> UpstreamView: ...
    def add(self, upstream: str, url: str, weight: int, expand: bool, /) -> TargetView: ...
    def change(self, upstream: str, target: str, weight: int | None, drained: bool | None, /) -> TargetView: ...
    def remove(self, upstream: str, target: str, /) -> None: ...
    def roster(self) -> Roster:
        """Which servers there are now; never waits."""
        ...


class Settings(Protocol):
    """The configuration in force and where each setting of it came from."""

    @property
    def config(self) -> Config: ...
    @property
    def origins(self) -> Mapping[str, str]: ...


class Reloaded(Protocol):
    """What a reload changed and what waits for a restart, in lines for people."""

    @property
    def changes(self) -> Sequence[str]: ...
    @property
    def restart(self) -> Sequence[str]: ...


class CallLog(Protocol):
    """The call log's thread-safe face."""

    def state(self) -> LogState: ...
    def flush(self) -> object:
        """What has ended until now is in the answers from now on."""
        ...

    def costs(self) -> Mapping[str, int]:
        """Nanos by account name, ever, rows that were deleted included."""
        ...

    def calls(self, wanted: CallFilter | None = None, *, after: int | None = None, limit: int = 100) -> list[Call]:
        """The newest first; with `after` those behind that position, in the order of positions."""
        ...

    def usage(
        self, group_by: str = "", *, wanted: CallFilter | None = None, interval: Interval = "", limit: int = 1_000
    ) -> list[Usage]: ...

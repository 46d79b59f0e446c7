"""Decides what /v1/calls and /v1/usage answer: the call log, one by one and added up, with money as it is written."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from litestar import Controller, get
from litestar.params import QueryParameter
from msgspec import UNSET, Struct, UnsetType

from ..calllog import views
from .bodies import KEY_ID, ROUTE, TAG
from .parameters import CURSOR_MAX, AccountFilter, Limit, Services, field
from .ports import CallLog
from .problems import Refused, documented, invalid
from .resources import Cursor
from .written import AMOUNT, Money, money, nanos_of, nanoseconds_of, whole

USAGE_S = 86_400
CHARGED, ESTIMATED = 1, 2  # bits of a call's flags
MODEL = "[!-~]{1,127}"
GROUP = f"({'|'.join(views.GROUPS)})"

Since = Annotated[datetime | None, QueryParameter(description="Begun then or later; RFC 3339 with an offset")]
Until = Annotated[datetime | None, QueryParameter(description="Begun before then; RFC 3339 with an offset")]
KeyFilter = Annotated[str | None, QueryParameter(pattern=KEY_ID, description="With this key alone")]
RouteFilter = Annotated[str | None, QueryParameter(pattern=ROUTE, description="Of this route alone")]
CodeFilter = Annotated[
    str | None, QueryParameter(pattern=whole("[a-z_]{1,40}"), description='"admitted", or the code of a refusal')
]  # fmt: skip
ModelFilter = Annotated[str | None, QueryParameter(pattern=whole(MODEL), description='Served by this "provider/model"')]
TagFilter = Annotated[str | None, QueryParameter(pattern=TAG, description="That had this X-Fastgw-Tag")]
StatusFilter = Annotated[int | None, QueryParameter(ge=100, le=599, description="Answered with this status")]
PathFilter = Annotated[str | None, QueryParameter(pattern=whole("[!-~]{1,96}"), description="Of paths that begin so")]
RequestFilter = Annotated[
    str | None, QueryParameter(pattern=whole("[0-9a-f]{32}"), description="Whose answer had this X-Request-Id")
]  # fmt: skip
CostFilter = Annotated[str | None, QueryParameter(pattern=AMOUNT, description="That cost at least this")]
CallCursor = Annotated[
    int | None,
    # Not ge=0: what is false is lost on the way to the document.
    QueryParameter(gt=-1, le=CURSOR_MAX, description="`next` of a page: what came into the log since; 0: since ever"),
]  # fmt: skip
By = Annotated[
    str,
    QueryParameter(
        pattern=f"^({GROUP}(,{GROUP}){{0,5}})?$",
        description='One sum for each account, key, route, code, model or tag, or each "account,route", and so on',
    ),
]
Every = Annotated[Literal["minute", "hour", "day", ""], QueryParameter(description="One sum for each interval of UTC")]
UsageLimit = Annotated[int, QueryParameter(ge=1, le=10_000, description="Most rows")]


class Call(Struct, frozen=True):
    """A call that ended. `time` is when its first byte came; the stages are microseconds from there.

    `verdict` is "admitted" or the code of the refusal; `cost` is what was charged. `model` is the one that served;
    `estimated` says that its provider did not tell the tokens.
    """

    position: int
    time: str
    request_id: str
    account: str
    key_id: str
    route: str
    target: str
    model: str
    tag: str
    method: str
    path: str
    status: int
    verdict: str
    cost: Money
    charged: bool
    estimated: bool
    tokens_in: int
    tokens_out: int
    tokens_cached: int
    tokens_reasoning: int
    bytes_in: int
    bytes_out: int
    decided_us: int
    first_byte_us: int
    total_us: int
    address: str


class CallPage(Struct, frozen=True):
    """The latest last. `next` is null only while there is nothing to go on from."""

    items: list[Call]
    next: Cursor


class UsageRow(Struct, frozen=True, omit_defaults=True):
    """Calls that began in an interval, added up; times of the whole call, in microseconds, are estimates."""

    calls: int
    charged: int
    estimated: int
    cost: Money
    tokens_in: int
    tokens_out: int
    tokens_cached: int
    tokens_reasoning: int
    bytes_in: int
    bytes_out: int
    p50_us: int
    p99_us: int
    start: str | UnsetType = UNSET
    account: str | UnsetType = UNSET
    key: str | UnsetType = UNSET
    route: str | UnsetType = UNSET
    code: str | UnsetType = UNSET
    model: str | UnsetType = UNSET
    tag: str | UnsetType = UNSET


class UsageList(Struct, frozen=True):
    """The dearest first, interval by interval. `complete` is false when there were more rows than `limit`."""

    items: list[UsageRow]
    complete: bool


class Calls(Controller):
    path = "/v1"
    tags = ("calls",)

    @get("/calls", sync_to_thread=True, summary="Calls that ended", responses=documented("call_log_off"))
    def calls(
        self,
        services: Services,
        limit: Limit = 100,
        cursor: CallCursor = None,
        account: AccountFilter = None,
        key_id: KeyFilter = None,
        route: RouteFilter = None,
        code: CodeFilter = None,
        model: ModelFilter = None,
        tag: TagFilter = None,
        status: StatusFilter = None,
        path: PathFilter = None,
        request_id: RequestFilter = None,
        min_cost: CostFilter = None,
        since: Since = None,
        until: Until = None,
    ) -> CallPage:
        """The latest, refused ones included; with a cursor those that came since, so that nothing is missed."""
        log = _log(services)
        wanted = views.CallFilter(
            since_ns=_nanoseconds("since", since),
            until_ns=_nanoseconds("until", until),
            account=account or "",
            key_id=key_id or "",
            route=route or "",
            code=code or "",
            model=model or "",
            tag=tag or "",
            status=status or 0,
            path_prefix=path or "",
            request_id=request_id or "",
            cost_min_nanos=field("min_cost", nanos_of, min_cost, "query") if min_cost else 0,
        )
        seen = log.state().rows  # before the question: what comes meanwhile is for the next one
        found = log.calls(wanted, after=cursor, limit=limit)
        if cursor is None:
            found.reverse()
        last = max((call.position for call in found), default=cursor)
        if len(found) < limit and seen:
            last = max(seen, last or 0)  # up to there nothing else matches
        return CallPage([_call(call) for call in found], None if last is None else str(last))

    @get("/usage", sync_to_thread=True, summary="Calls and their cost, added up", responses=documented("call_log_off"))
    def usage(
        self,
        services: Services,
        by: By = "account",
        every: Every = "",
        limit: UsageLimit = 1_000,
        account: AccountFilter = None,
        key_id: KeyFilter = None,
        route: RouteFilter = None,
        code: CodeFilter = None,
        model: ModelFilter = None,
        tag: TagFilter = None,
        since: Since = None,
        until: Until = None,
    ) -> UsageList:
        """Of the last 24 hours where `since` does not say otherwise."""
        log = _log(services)
        groups = list(dict.fromkeys(by.split(","))) if by else []
        wanted = views.CallFilter(
            since_ns=_nanoseconds("since", since or datetime.now(UTC) - timedelta(seconds=USAGE_S)),
            until_ns=_nanoseconds("until", until),
            account=account or "",
            key_id=key_id or "",
            route=route or "",
            code=code or "",
            model=model or "",
            tag=tag or "",
        )
        rows = log.usage(",".join(groups), wanted=wanted, interval=every, limit=limit + 1)
        return UsageList([_usage(row, groups) for row in rows[:limit]], len(rows) <= limit)


def _log(services: Services) -> CallLog:
    if services.call_log is None:
        raise Refused("call_log_off", "This gateway keeps no call log: the setting call_log is off.")
    return services.call_log


def _nanoseconds(name: str, when: datetime | None) -> int:
    """0 for none; what is before 1970 is as good as none."""
    if when is None:
        return 0
    if when.tzinfo is None:
        raise invalid(f"query.{name}", "must have an offset, like 2027-01-31T00:00:00Z")
    return max(nanoseconds_of(when), 0)


def _call(view: views.Call) -> Call:
    return Call(
        position=view.position,
        time=view.time,
        request_id=view.request_id,
        account=view.account,
        key_id=view.key_id,
        route=view.route,
        target=view.target,
        model=view.model,
        tag=view.tag,
        method=view.method,
        path=view.path,
        status=view.status,
        verdict=view.verdict,
        cost=money(view.cost_nanos),
        charged=bool(view.flags & CHARGED),
        estimated=bool(view.flags & ESTIMATED),
        tokens_in=view.tokens_in,
        tokens_out=view.tokens_out,
        tokens_cached=view.tokens_cached,
        tokens_reasoning=view.tokens_reasoning,
        bytes_in=view.bytes_in,
        bytes_out=view.bytes_out,
        decided_us=view.decided_us,
        first_byte_us=view.first_byte_us,
        total_us=view.total_us,
        address=view.address,
    )


def _usage(row: views.Usage, groups: list[str]) -> UsageRow:
    return UsageRow(
        calls=row.calls,
        charged=row.charged,
        estimated=row.estimated,
        cost=money(row.cost_nanos),
        tokens_in=row.tokens_in,
        tokens_out=row.tokens_out,
        tokens_cached=row.tokens_cached,
        tokens_reasoning=row.tokens_reasoning,
        bytes_in=row.bytes_in,
        bytes_out=row.bytes_out,
        p50_us=row.p50_us,
        p99_us=row.p99_us,
        start=row.start or UNSET,
        **dict(zip(groups, row.name.split(","), strict=False)),
    )

"""Decides what /v1/config, /v1/plans and /v1/reload show: what is in force, where it came from, and no secret of it."""

from litestar import Controller, get, post
from msgspec import Struct

from .. import __version__, units
from ..model import ConfigError, Plan, Rate, Route
from ..roster import url_of
from ..settings import SETTINGS
from ..settings import Setting as Row
from .parameters import Services
from .ports import Settings
from .problems import Place, Refused, documented
from .written import Money, money, rate_text


class Setting(Struct, frozen=True):
    """`value` as a person writes it; `origin` is a line of the file, a flag, a variable or "default"."""

    name: str
    group: str
    value: str
    origin: str
    reloadable: bool
    help: str


class UpstreamSetting(Struct, frozen=True):
    """Its targets as the configuration names them; /v1/upstreams has all of them."""

    name: str
    targets: list[str]


class RouteSetting(Struct, frozen=True):
    """Of `set_headers` the names alone: the values are credentials. One to models is here once for each API."""

    name: str
    path: str
    hosts: list[str]
    methods: list[str]
    upstream: str
    models: list[str]
    auth: str
    price: Money
    rate: str | None
    burst: int | None
    dialect: str
    charge: str
    cost_header: str
    units_header: str
    unit_price: Money
    idempotency: str
    upgrades: list[str]
    minute_price: Money
    mib_price: Money
    forward_key: bool
    preserve_host: bool
    set_headers: list[str]


class PlanSetting(Struct, frozen=True):
    """`prices` are by route, for those that cost another than the route says; 0 calls or tokens is no quota."""

    name: str
    rate: str | None
    burst: int | None
    requests_per_day: int
    requests_per_month: int
    token_rate: str | None
    tokens_per_day: int
    tokens_per_month: int
    timezone: str
    allowance: Money
    prices: dict[str, Money]


class Configuration(Struct, frozen=True):
    version: str
    settings: list[Setting]
    upstreams: list[UpstreamSetting]
    routes: list[RouteSetting]


class PlanList(Struct, frozen=True):
    items: list[PlanSetting]


class Reload(Struct, frozen=True):
    """What changed, and which settings will when the gateway is started again, in lines for people."""

    changes: list[str]
    restart: list[str]


class Configurations(Controller):
    path = "/v1"
    tags = ("configuration",)

    @get("/config", sync_to_thread=True, summary="Effective configuration", responses=documented())
    def config(self, services: Services) -> Configuration:
        """Every setting, its origin, and whether a reload may change it; upstreams and routes. No secrets."""
        now = services.settings()
        return Configuration(
            __version__,
            [_setting(row, now) for row in SETTINGS],
            [UpstreamSetting(up.name, [url_of(each) for each in up.targets]) for up in now.config.upstreams],
            [_route(route) for route in now.config.routes],
        )

    @get("/plans", sync_to_thread=True, summary="Plans", responses=documented())
    def plans(self, services: Services) -> PlanList:
        """They are declared in the file, and changed there."""
        return PlanList([_plan(plan) for plan in services.settings().config.plans])

    @post(
        "/reload",
        sync_to_thread=True,
        status_code=200,
        summary="Read the configuration again",
        responses=documented("reload_refused", "ledger_unavailable"),
    )
    def reload(self, services: Services) -> Reload:
        """Whole or not at all: 422 names every line that is wrong, and what served goes on serving."""
        try:
            done = services.reload()
        except ConfigError as error:
            places = [Place(problem.where, problem.message) for problem in error.problems]
            count = f"{len(places)} problem" + ("s" if len(places) > 1 else "")
            raise Refused("reload_refused", f"{count}; nothing has changed", problems=places) from None
        return Reload(list(done.changes), list(done.restart))


def _setting(row: Row, now: Settings) -> Setting:
    value = row.show(getattr(now.config.server, row.attribute))
    return Setting(row.name, row.group, value, now.origins.get(row.name, "default"), row.reloadable, row.help)


def _bucket(rate: Rate | None) -> tuple[str | None, int | None]:
    return (None, None) if rate is None else (rate_text(rate), rate.burst)


def _route(route: Route) -> RouteSetting:
    rate, burst = _bucket(route.rate)
    return RouteSetting(
        name=route.name,
        path=route.path,
        hosts=list(route.hosts),
        methods=list(route.methods),
        upstream=route.upstream,
        models=list(route.models),
        auth=route.auth,
        price=money(route.price_nanos),
        rate=rate,
        burst=burst,
        dialect=route.dialect,
        charge=route.charge,
        cost_header=route.cost_header,
        units_header=route.units_header,
        unit_price=money(route.unit_price_nanos),
        idempotency=units.format_duration(route.idempotency_window_ms),
        upgrades=list(route.upgrades),
        minute_price=money(route.minute_price_nanos),
        mib_price=money(route.mib_price_nanos),
        forward_key=route.forward_key,
        preserve_host=route.preserve_host,
        set_headers=[name for name, _ in route.set_headers],
    )


def _plan(plan: Plan) -> PlanSetting:
    rate, burst = _bucket(plan.rate)
    return PlanSetting(
        name=plan.name,
        rate=rate,
        burst=burst,
        requests_per_day=plan.day_quota,
        requests_per_month=plan.month_quota,
        token_rate=None if plan.token_rate is None else rate_text(plan.token_rate),
        tokens_per_day=plan.day_tokens,
        tokens_per_month=plan.month_tokens,
        timezone=plan.timezone,
        allowance=money(plan.allowance_nanos),
        prices={name: money(nanos) for name, nanos in plan.prices},
    )

"""Decides what /v1/quote answers: what a call would cost, whether it would be admitted now, and if not, why."""

from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any

from litestar import Controller, post
from litestar.params import JSONBody
from msgspec import UNSET, Struct, UnsetType

from ..model import Config
from ..refusals import TABLE, Refusal
from .bodies import QuoteRequest
from .parameters import Books, Services
from .problems import documented, invalid
from .written import Money, moment, money

NO_KEY = -1


class Quote(Struct, frozen=True, omit_defaults=True):
    """The verdict of this moment; nothing is held. The numbers are those that the refusal itself would carry.

    `policy` names the limit that is used up: the route's by its name, "key" or "plan".
    """

    admitted: bool
    verdict: str
    status: int
    why: str
    route: str | None
    account: str | None
    key_id: str | None
    price: Money
    policy: str | UnsetType = UNSET
    retry_after_seconds: int | UnsetType = UNSET
    available: Money | UnsetType = UNSET
    limit: int | UnsetType = UNSET
    used: int | UnsetType = UNSET
    window: str | UnsetType = UNSET
    resets_at: datetime | UnsetType | None = UNSET
    expired_at: datetime | UnsetType | None = UNSET


_SHOWN: Mapping[str, Any] = {
    "available": money, "limit": int, "used": int, "window": str, "resets_at": moment, "expired_at": moment,
}  # fmt: skip


class Quotes(Controller):
    path = "/v1/quote"
    tags = ("calls",)

    @post(
        sync_to_thread=True,
        status_code=200,
        summary="What would this call cost, and would it be admitted now?",
        responses=documented("not_found", "body_too_large", "unsupported_media_type", "ledger_unavailable"),
    )
    def quote(self, books: Books, services: Services, data: JSONBody[QuoteRequest]) -> Quote:
        """Decided by the code that decides calls, at this moment, without taking or holding anything."""
        config, gate = services.settings().config, services.gate()
        if data.key is not None and data.key_id is not None:
            raise invalid("body.key_id", "give the key or its id, not both")
        key = None
        if data.key is not None:
            key = books.find_key(data.key)
        elif data.key_id is not None:
            key = books.key(data.key_id)
        route = _route_named(config, data) if data.route is not None else _route_of(gate, data)
        account, key_id = (None, None) if key is None else (key.account, key.id)
        if route < 0:
            return _refused(Refusal.NO_ROUTE, None, account, key_id)
        name = config.routes[route].name
        if config.routes[route].auth == "key":
            if key is None:
                return _refused(Refusal.MISSING_KEY, name, account, key_id)
            if key.status == "revoked":  # it may have no place any more that admission could look at
                return _refused(Refusal.REVOKED_KEY, name, account, key_id)
        return _quote(gate.quote(route, NO_KEY if key is None else books.key_index(key.id)), name, account, key_id)


def _route_named(config: Config, data: QuoteRequest) -> int:
    if data.path is not None:
        raise invalid("body.path", "give the route or a path, not both")
    for index, route in enumerate(config.routes):
        if route.name == data.route:
            return index
    raise invalid("body.route", f"no route has this name; there is {', '.join(route.name for route in config.routes)}")


def _route_of(gate: Any, data: QuoteRequest) -> int:
    if data.path is None:
        raise invalid("body.route", "give a route, or a path with its method and host")
    return int(gate.match(data.method, data.host, data.path))


def _refused(refusal: Refusal, route: str | None, account: str | None, key_id: str | None) -> Quote:
    return _quote({"verdict": refusal, "price": 0}, route, account, key_id)


def _quote(found: Mapping[str, Any], route: str | None, account: str | None, key_id: str | None) -> Quote:
    verdict = Refusal(found["verdict"])
    row = TABLE.get(verdict)
    # What could be paid is known where it came to that: to whom is admitted, and in the refusals that name it.
    told = {"available"} if row is None else {number.name.lower() for number in row.numbers}
    wait_s = -(-found.get("wait_ns", 0) // 1_000_000_000) or (row.retry_after_s if row else 0)
    return Quote(
        admitted=row is None,
        verdict=verdict.name.lower(),
        status=row.status if row else HTTPStatus.OK,
        why=row.detail if row else "The call would be admitted now.",
        route=route,
        account=account,
        key_id=key_id,
        price=money(found["price"]),
        policy=found.get("policy") or UNSET,
        retry_after_seconds=wait_s or UNSET,
        **{name: show(found[name]) for name, show in _SHOWN.items() if name in told and found.get(name) is not None},
    )

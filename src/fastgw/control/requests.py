"""Decides how a request is read: JSON that says so, by the strict type of its body, and no strange parameter."""

from functools import lru_cache
from typing import Any

import msgspec
from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter
from msgspec import Struct

from .problems import Place, Refused, invalid, rule_of

JSON = "application/json"


class StrictRequest(Request[Any, Any, Any]):
    """What a handler calls `data` is decoded by its type at once: nothing is coerced, and nothing ignored."""

    async def body(self) -> bytes:
        body = await super().body()
        kind = self.route_handler.parsed_data_field
        if kind is not None and not body:
            raise Refused("invalid_request", "The request has no body; send a JSON object.")
        return body

    async def json(self) -> Any:
        kind = self.route_handler.parsed_data_field
        if kind is None:
            return await super().json()
        if self.content_type[0].lower() != JSON:
            raise Refused("unsupported_media_type", f"Send the body as Content-Type: {JSON}.")
        return decode(await self.body(), kind.annotation)


def decode(body: bytes, kind: type[Struct]) -> Struct:
    """A body as its type. Raises Refused, saying where it is wrong."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        raise invalid(f"body{path.removesuffix('`')}", rule_of(message)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused("invalid_request", f"The body is no JSON: {error}") from None


async def refuse_strange_queries(request: Request[Any, Any, Any]) -> None:
    """Refuse a parameter that the operation does not know, or that is there twice: a filter must not be lost.

    It waits for nothing; were it no coroutine, it would wait for a free thread.
    """
    if not request.scope["path"].startswith("/v1/"):
        return
    known = _query_names(request.route_handler)
    found: list[str] = []
    for name, _ in request.query_params.multi_items():
        if name in found or name not in known:
            rule = "is there twice" if name in found else f"unknown, known are {', '.join(known) or 'none'}"
            shown = name[:40]
            raise Refused("invalid_request", f"query.{shown}: {rule}", problems=[Place(f"query.{shown}", rule)])
        found.append(name)


@lru_cache(maxsize=256)
def _query_names(handler: HTTPRouteHandler) -> tuple[str, ...]:
    names = []
    for name, field in handler.parsed_fn_signature.parameters.items():
        if isinstance(field.kwarg_definition, QueryParameter):
            names.append(field.kwarg_definition.name or name)
    return tuple(names)

"""Decides what /openapi.json says: the operations as the framework knows them, the structures as they are decoded."""

import inspect
from functools import cache
from typing import Any

import msgspec
from litestar import Controller, Litestar, MediaType, Response, get
from litestar.di import Provide
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme
from msgspec import Struct

from .. import __version__, price_list
from . import accounts, bodies, calls, configuration, keys, models, problems, provider_keys, quoting, resources, state

REFERENCE = "#/components/schemas/{name}"
DESCRIPTION = """\
Accounts, keys, money and calls of this gateway. Every operation below /v1 needs `Authorization: Bearer <token>`, whose
token is in the file admin-token of the state directory. Money is a decimal string, exact to 1e-9; a moment is RFC 3339.
Errors are problem details (RFC 9457): read `code`, show `detail`. Lists go on with `cursor` while `next` is not null.
"""
_MODULES = (
    accounts, bodies, calls, configuration, keys, models, price_list, problems, provider_keys, quoting, resources,
    state,
)  # fmt: skip


class OpenApi(Controller):
    @get("/openapi.json", sync_to_thread=True, include_in_schema=False)
    def document(self) -> Response[bytes]:
        from .app import CONTROLLERS, DEPENDENCIES

        return Response(document(CONTROLLERS, DEPENDENCIES), media_type=MediaType.JSON)


class _Nothing:
    """Stands for a dependency where no operation is ever called."""

    def __call__(self) -> None: ...


@cache
def document(controllers: tuple[type[Controller], ...], dependencies: tuple[str, ...]) -> bytes:
    """OpenAPI 3.1 as JSON, made when it is first asked for.

    By an application of its own: the one that serves has none of the pages that the framework would add, which load
    their scripts from other sites.
    """
    config = OpenAPIConfig(
        title="fastgw admin API",
        version=__version__,
        description=DESCRIPTION,
        use_handler_docstrings=True,
        security=[{"token": []}],
        components=Components(security_schemes={"token": SecurityScheme(type="http", scheme="bearer")}),
    )
    nothing = {name: Provide(_Nothing(), sync_to_thread=False) for name in dependencies}
    app = Litestar([*controllers], dependencies=nothing, openapi_config=config, logging_config=None)
    found: dict[str, Any] = app.openapi_schema.to_schema()
    found["components"]["schemas"] = schemas(found["components"]["schemas"].keys())
    for operations in found["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                _without_null(parameter["schema"])
    return msgspec.json.encode(found)


def _without_null(schema: dict[str, Any]) -> None:
    """A parameter that may be left out can still not be null: there is no way to write it."""
    others = [kind for kind in schema.get("oneOf", ()) if kind != {"type": "null"}]
    if len(others) == 1:
        del schema["oneOf"]
        schema.update(others[0])


def schemas(names: Any) -> dict[str, Any]:
    """The JSON Schemas of the structures of these names, and of what they are made of, as they are decoded."""
    kinds = {
        name: kind
        for module in _MODULES
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Struct) and kind.__module__ == module.__name__
    }
    _, components = msgspec.json.schema_components([kinds[name] for name in names], ref_template=REFERENCE)
    return components

"""Decides what the admin API is made of: its controllers, what they are given, and the bounds of every request."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from litestar import Litestar
from litestar.di import Provide

from . import metrics_money
from .accounts import Accounts
from .calls import Calls
from .configuration import Configurations
from .health import Health
from .keys import Keys
from .models import Models
from .openapi import OpenApi
from .problems import HANDLERS
from .quoting import Quotes
from .requests import StrictRequest, refuse_strange_queries
from .services import Services
from .state import States
from .tags import Tags
from .upstreams import Upstreams

BODY_MAX = 64 << 10
CONTROLLERS = (Health, Accounts, Keys, Tags, Quotes, Calls, Configurations, Upstreams, Models, States)
DEPENDENCIES = ("services", "books", "registry", "scraper")


def make_app(services: Services) -> Litestar:
    """The application without its guard."""
    scraper = ThreadPoolExecutor(1, thread_name_prefix="metrics")
    given = (services, services.books, metrics_money.registry(services), scraper)

    def provide(value: Any) -> Provide:
        return Provide(lambda: value, use_cache=True, sync_to_thread=False)

    return Litestar(
        [*CONTROLLERS, OpenApi],
        dependencies={name: provide(value) for name, value in zip(DEPENDENCIES, given, strict=True)},
        exception_handlers=HANDLERS,
        request_class=StrictRequest,
        request_max_body_size=BODY_MAX,
        before_request=refuse_strange_queries,
        openapi_config=None,
        logging_config=None,
        debug=False,
        pdb_on_exception=False,
    )

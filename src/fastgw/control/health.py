"""Decides what /livez, /readyz and /metrics answer, to anybody: the three that need no token."""

import asyncio
from concurrent.futures import Executor
from typing import Any

from litestar import Controller, MediaType, Request, Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import SkipValidation
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from .parameters import Services
from .problems import documented
from .state import unready

_OPEN: list[dict[str, list[str]]] = [{}]  # of OpenAPI: no token
_ANSWERS = documented(open=True)
_UNREADY = ResponseSpec(str, generate_examples=False, media_type=MediaType.TEXT, description="What is missing")
Scraper = NamedDependency[SkipValidation[Executor]]
Registry = NamedDependency[SkipValidation[CollectorRegistry]]


class Health(Controller):
    """Whatever is asked besides is ignored: who checks health may add to the query as it likes."""

    tags = ("health",)

    @get("/livez", media_type=MediaType.TEXT, sync_to_thread=False, security=_OPEN, responses=_ANSWERS,
         summary="The keeper is alive")  # fmt: skip
    def livez(self) -> str:
        return "ok\n"

    @get("/readyz", media_type=MediaType.TEXT, sync_to_thread=False, security=_OPEN,
         responses={**_ANSWERS, 503: _UNREADY}, summary="All workers are ready")  # fmt: skip
    def readyz(self, services: Services) -> Response[str]:
        """503, with the reason, while one is missing."""
        reason = unready(services)
        return Response(f"{reason or 'ok'}\n", status_code=503 if reason else 200, media_type=MediaType.TEXT)

    @get("/metrics", media_type=MediaType.TEXT, security=_OPEN, responses=_ANSWERS, summary="Metrics for Prometheus")
    async def metrics(
        self,
        registry: Registry,
        scraper: Scraper,
        request: Request[Any, Any, Any],
    ) -> Response[bytes]:
        """By a thread of its own: it answers while others wait for a disk. OpenMetrics where Accept asks for it."""
        encode, media = choose_encoder(request.headers.get("accept", ""))
        body = await asyncio.get_running_loop().run_in_executor(scraper, encode, registry)
        # The framework says the charset of what is text itself.
        return Response(body, media_type=media.removesuffix("; charset=utf-8") if media.startswith("text/") else media)

"""Decides how the framework and the HTTP server are put together: one event loop, and threads for what may block."""

from concurrent.futures import ThreadPoolExecutor

import uvicorn
from litestar.concurrency import set_asyncio_executor

from .app import make_app
from .guard import Guard
from .protocol import BoundedProtocol
from .services import Services

THREADS = 8  # as many requests may wait for the ledger's disk at once; others wait for them
KEEP_ALIVE_S = 75
SHUTDOWN_S = 3
HEADERS = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))  # of every answer


def make_server(services: Services, token: str, token_file: str) -> uvicorn.Server:
    """A server that has bound nothing: it is given its sockets. One in a process."""
    set_asyncio_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="admin"))
    config = uvicorn.Config(
        Guard(make_app(services), token, token_file),
        loop="uvloop",
        http=BoundedProtocol,
        ws="none",
        interface="asgi3",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        headers=list(HEADERS),
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    return uvicorn.Server(config)

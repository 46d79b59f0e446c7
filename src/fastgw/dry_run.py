"""Decides what a call would meet, by the very tables that workers decide by: nothing is taken, held or recorded."""

import threading
from typing import Any

from ._http import RequestHead
from ._segment import Segment
from .model import Config
from .rows import quoting_table


class DryRun:
    """Admission of one configuration, for questions from any thread."""

    def __init__(self, segment: Segment, config: Config) -> None:
        self._table = quoting_table(segment, config)
        self._head = RequestHead(100, b"")
        self._lock = threading.Lock()  # a head is scanned, then matched

    def match(self, method: str, host: str, path: str) -> int:
        """The index of the route that would take the request, -1 for none, or for what is no request."""
        head = f"{method} {path} HTTP/1.1\r\nHost: {host or 'localhost'}\r\n\r\n".encode()
        with self._lock:
            if self._head.scan(head, 0, len(head)) != 0:
                return -1
            return self._table.match(self._head)

    def quote(self, route_index: int, key_index: int) -> dict[str, Any]:
        """See `fastgw._routes.RouteTable.quote`."""
        return self._table.quote(route_index, key_index)

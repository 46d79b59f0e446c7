"""Decides how large and how slow things may be: the limits of size and time, as one set that is never changed.

A reload makes a new set. What began under the old one, a call in flight, ends under it.
"""

from ..settings import Server


class Bounds:
    """Bytes, bytes a second, connections and milliseconds; 0 of `body_rate`, `memory_max`, `total_ms` and
    `tunnel_idle_ms` is none."""

    def __init__(self, server: Server) -> None:
        self.url_max = server.url_max_bytes
        self.head_max = server.head_max_bytes
        self.body_max = server.body_max_bytes
        self.body_rate = server.body_min_rate_bytes
        self.memory_max = server.memory_max_bytes // server.workers
        self.connections_max = server.connections_max
        self.head_ms = server.head_timeout_ms
        self.body_ms = server.body_timeout_ms
        self.idle_ms = server.idle_timeout_ms
        self.write_ms = server.write_timeout_ms
        self.first_byte_ms = server.first_byte_timeout_ms
        self.stream_ms = server.stream_timeout_ms
        self.total_ms = server.total_timeout_ms
        self.tunnel_idle_ms = server.tunnel_idle_timeout_ms
        self.hold_ms = server.hold_timeout_ms

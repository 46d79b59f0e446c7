"""Decides on which ports tests listen: on none that the kernel gives to others, nor any that another test was given."""

import os
import random
import socket

SPAN = 1_500  # of each process that runs tests; all of them are below those that the kernel gives
_first = 20_000 + SPAN * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8)
_next = random.randrange(SPAN)  # other tests may run beside these


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has now, or is soon given."""
    global _next
    while True:
        port = _first + _next
        _next = (_next + 1) % SPAN
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port

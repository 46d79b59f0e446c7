"""Does some work in a process of its own, which shares what is mapped."""

import os
from collections.abc import Callable


def forked(work: Callable[[], None]) -> int:
    """Its pid; it ends with the work."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return pid

"""Decides what the service manager is told of this process: that it serves, reloads, ends, or lives (sd_notify(3))."""

import contextlib
import os
import socket
import time


class Notifier:
    """Tells who has asked for it in the environment, else nobody. Nothing it does can fail or wait."""

    def __init__(self) -> None:
        place = os.environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{place[1:]}" if place.startswith("@") else place
        period = os.environ.get("WATCHDOG_USEC", "")
        minded = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._beat_s = int(period) / 2_000_000 if place and minded and period.isdecimal() else 0.0
        self._next_beat = 0.0

    def ready(self, status: str) -> None:
        """It serves, or has reloaded."""
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self, status: str) -> None:
        """It reloads, until it is `ready`; the time tells this from an answer to an earlier signal."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", f"STATUS={status}")

    def stopping(self, status: str, within_s: float) -> None:
        """It ends, and may take so long."""
        self._tell("STOPPING=1", f"EXTEND_TIMEOUT_USEC={round(within_s * 1_000_000)}", f"STATUS={status}")

    def beat(self) -> float:
        """Say that this process lives, if that is due; in how many seconds to come again."""
        if not self._beat_s:
            return float("inf")
        now = time.monotonic()
        if now >= self._next_beat:
            self._next_beat = now + self._beat_s
            self._tell("WATCHDOG=1")
        return self._next_beat - now

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.setblocking(False)
            end.sendto("\n".join(lines).encode(), self._address)

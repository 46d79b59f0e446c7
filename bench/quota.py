"""Decides how a process is held to a share of a CPU: the kernel's bandwidth control, through cgroup v2 or
v1."""

import contextlib
import os
from pathlib import Path

PERIOD_US = 20_000


def _controller() -> tuple[Path, bool] | None:
    """Where groups with CPU bandwidth can be made, and whether that is cgroup v2."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, kind, options = line.split()[:4]
        root = Path(mount)
        if kind == "cgroup" and "cpu" in options.split(",") and os.access(root, os.W_OK):
            return root, False
        if kind == "cgroup2" and os.access(root, os.W_OK):
            with contextlib.suppress(OSError):
                if "cpu" in (root / "cgroup.subtree_control").read_text().split():
                    return root, True
    return None


class Quota:
    """One group with a share of one CPU, which it gets before others do; removed at the end. Raises OSError when the
    kernel does not let us."""

    def __init__(self, name: str, share: float, period_us: int = PERIOD_US) -> None:
        found = _controller()
        if found is None:
            raise OSError("no writable cgroup with the cpu controller")
        root, unified = found
        self._root = root
        self._group = root / f"fastgw-bench-{os.getpid()}-{name}"
        self._group.mkdir()
        quota_us = int(period_us * share)
        if unified:
            (self._group / "cpu.max").write_text(f"{quota_us} {period_us}")
            (self._group / "cpu.weight").write_text("10000")
        else:
            (self._group / "cpu.cfs_period_us").write_text(str(period_us))
            (self._group / "cpu.cfs_quota_us").write_text(str(quota_us))
            (self._group / "cpu.shares").write_text("262144")

    def hold(self, pid: int) -> None:
        os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))  # one with another priority cannot be held
        (self._group / "cgroup.procs").write_text(str(pid))

    def __enter__(self) -> "Quota":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            for pid in (self._group / "cgroup.procs").read_text().split():
                (self._root / "cgroup.procs").write_text(pid)
        with contextlib.suppress(OSError):
            self._group.rmdir()

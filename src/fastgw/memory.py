"""Decides how much memory there is for this process and others: what the machine has, or its control group may have."""

import os
from pathlib import Path

UNLIMITED = 1 << 60  # what control groups of version 1 say when they mean no limit is near 2**63


def available_bytes(root: str = "/") -> int:
    """The least of the machine's memory and the limits of the control groups around this process, of either version."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *_limits(Path(root))])


def _limits(root: Path) -> list[int]:
    found = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            base, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        # A container sees its own group as the root of the tree, whatever the path says.
        parts = Path(path.lstrip("/")).parts
        for depth in range(len(parts) + 1):
            text = _read(base.joinpath(*parts[:depth], name)).strip()
            if text.isdigit() and int(text) < UNLIMITED:
                found.append(int(text))
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""

"""Decides what a process costs: its CPU time and its memory, as the kernel accounts for them. Linux only.

CPU time is read from each process's CPU-time clock (clock_getcpuclockid(3)): user + system of all its
threads, also of those that have ended, in nanoseconds and up to date at the instant of reading. ``utime +
stime`` of /proc/PID/stat is the same sum cut to 10 ms, and /proc/PID/task/*/schedstat misses threads that
have ended and the running time slice.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_ns(pid: int) -> int:
    """User + system time of process ``pid`` in nanoseconds. Raises ProcessLookupError when there is none."""
    try:
        return time.clock_gettime_ns((~pid << 3) | 2)  # the kernel's encoding: CPUCLOCK_SCHED of a process
    except OSError as error:
        raise ProcessLookupError(pid) from error


def tree(root: int) -> list[int]:
    """``root`` and all its living descendants, ascending."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z":
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, pending = [], [root]
    while pending:
        pid = pending.pop()
        if Path(f"/proc/{pid}").exists():
            found.append(pid)
        pending += children.get(pid, [])
    return sorted(found)


def snapshot(root: int) -> dict[int, int]:
    """CPU nanoseconds by pid, for ``root`` and its descendants."""
    times = {}
    for pid in tree(root):
        try:
            times[pid] = cpu_ns(pid)
        except ProcessLookupError:
            continue
    return times


def behind(root: int, mark: str) -> set[int]:
    """Those of ``root`` and its descendants whose command line has ``mark`` in it; none for an empty mark."""
    found = set()
    for pid in tree(root) if mark else ():
        try:
            if mark in Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode():
                found.add(pid)
        except OSError:
            continue
    return found


def spent_ns(before: dict[int, int], after: dict[int, int]) -> int:
    """CPU nanoseconds between two snapshots. Raises RuntimeError when a process ended in between: its time is
    lost."""
    gone = before.keys() - after.keys()
    if gone:
        raise RuntimeError(f"process {min(gone)} ended during the measurement")
    return sum(ns - before.get(pid, 0) for pid, ns in after.items())


@dataclass(frozen=True)
class MachineTime:
    """Busy and stolen seconds of the whole machine since boot."""

    busy_s: float
    steal_s: float

    @staticmethod
    def now() -> "MachineTime":
        with open("/proc/stat", encoding="ascii") as file:
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, file.readline().split()[1:9])
        return MachineTime((user + nice + system + irq + softirq) / TICKS_PER_S, steal / TICKS_PER_S)


def pin(pid: int, cpus: set[int]) -> None:
    """Bind every thread of every process below ``pid`` to ``cpus``."""
    for process in tree(pid):
        for task in Path(f"/proc/{process}/task").iterdir():
            os.sched_setaffinity(int(task.name), cpus)


@dataclass(frozen=True)
class Memory:
    """Memory of one process in bytes: resident; proportional, shared pages divided among those who map them; what
    nobody else maps just now, libraries among it; and what it has written itself, whoever else there is."""

    rss: int
    pss: int
    private: int
    anonymous: int


def memory(pid: int) -> Memory:
    values: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, amount = line.split(":")
        values[name] = int(amount.split()[0]) * 1024
    private = values["Private_Clean"] + values["Private_Dirty"]
    return Memory(values["Rss"], values["Pss"], private, values["Anonymous"] + values["Swap"])


def shared_bytes(pids: list[int]) -> int:
    """Bytes of pages that really exist in the shared mappings of ``pids``, each page counted once.

    Files (a segment in memory-backed storage) by their allocated blocks; anonymous shared zones, which have
    no file to ask, by the largest resident size among the processes that map the same inode.
    """
    files: dict[str, int] = {}
    zones: dict[str, int] = {}
    for pid in pids:
        key, path, shared = "", "", False
        for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
            head = line.split(maxsplit=5)
            if "-" in head[0] and len(head) >= 5 and len(head[1]) == 4:
                shared = head[1][3] == "s"
                key, path = f"{head[3]}:{head[4]}", head[5] if len(head) > 5 else ""
            elif shared and head[0] == "Rss:":
                if path.startswith("/dev/zero") or path.endswith("(deleted)"):
                    zones[key] = max(zones.get(key, 0), int(head[1]) * 1024)
                elif path.startswith("/") and os.path.exists(path):
                    files[key] = os.stat(path).st_blocks * 512
    return sum(files.values()) + sum(zones.values())

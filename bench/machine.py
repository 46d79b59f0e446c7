"""Decides how the machine of a measurement is described: what a reader needs to judge figures from
elsewhere."""

import os
import platform
import re
import shlex
import sys
from pathlib import Path


def describe() -> dict[str, str]:
    """Processor, cores, memory, kernel, system and the exact command, as text."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    total = re.search(r"^MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    release = re.search(r'^PRETTY_NAME="?([^"\n]+)', Path("/etc/os-release").read_text(), re.MULTILINE)
    return {
        "processor": model.group(1).strip() if model else platform.machine(),
        "cores": str(os.cpu_count()),
        "virtual": "yes" if re.search(r"^flags\s*:.*\bhypervisor\b", cpuinfo, re.MULTILINE) else "no",
        "memory": f"{int(total.group(1)) / 2**20:.0f} GiB" if total else "unknown",
        "kernel": platform.release(),
        "system": release.group(1) if release else "unknown",
        "python": platform.python_version(),
        "load at start": f"{os.getloadavg()[0]:.2f}",
        "command": shlex.join(["python", *sys.argv]),
    }


def slug() -> str:
    """A short name of the machine for file names: processor and cores, not the host's name."""
    words = re.sub(r"\(.*?\)|\bprocessor\b|\bcpu\b|@.*", " ", describe()["processor"], flags=re.IGNORECASE)
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:32] + f"-{os.cpu_count()}core"

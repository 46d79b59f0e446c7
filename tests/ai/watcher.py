"""Watches all accounts of a segment, as a process of its own, and says what it has seen that must never be.

`python watcher.py SEGMENT_DIR STATE_DIR NAME…` reads them over and over until its standard input ends, and prints JSON:
how many times, and each reading of an account that had more committed than there was.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from fastgw._segment import Segment, account_digest
from fastgw.instance import segment_path

PAUSE_S = 0.0005


class Watcher:
    """The process, from here until `stop`."""

    def __init__(self, segment_dir: Path, state_dir: Path, names: list[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(segment_dir), str(state_dir), *names],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def stop(self) -> dict[str, Any]:
        """{"readings": …, "broken": […]}"""
        out, _ = self.process.communicate(timeout=30)
        found: dict[str, Any] = json.loads(out)
        return found


def watch(segment_dir: str, state_dir: str, names: list[str]) -> dict[str, Any]:
    segment = Segment.open(segment_path(segment_dir, state_dir))
    numbers = segment.account_numbers()
    accounts = [(name, numbers[account_digest(name)]) for name in names]
    broken: list[dict[str, Any]] = []
    readings = 0
    while not select.select([sys.stdin], [], [], 0)[0]:
        for name, number in accounts:
            account = segment.account(number)
            if account["committed"] > account["granted"] + account["credit"]:
                broken.append({"name": name, **account})
        readings += 1
        time.sleep(PAUSE_S)
    return {"readings": readings, "broken": broken[:100]}


if __name__ == "__main__":
    print(json.dumps(watch(sys.argv[1], sys.argv[2], sys.argv[3:])))

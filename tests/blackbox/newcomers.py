"""Runs `bench/newcomers.c`: calls at a set rate, each on a connection of its own, and what became of every one."""

import json
import shutil
import signal
import subprocess
from pathlib import Path
from types import TracebackType

import pytest

SOURCE = Path(__file__).parents[2] / "bench" / "newcomers.c"


class Newcomers:
    """As a context: they come as long as it lasts, and `counts` is whole when it has been left."""

    def __init__(self, directory: Path, port: int, request: bytes, per_s: int, seconds: float = 60.0) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.skip("cc is not installed")
        program, file = directory / "newcomers", directory / "newcomer"
        file.write_bytes(request)
        subprocess.run([compiler, "-O2", "-o", str(program), str(SOURCE)], check=True, timeout=60)
        self.arguments = [str(program), str(port), str(file), str(per_s), str(seconds)]
        self.counts: dict[str, float] = {}

    def __enter__(self) -> "Newcomers":
        self.process = subprocess.Popen(self.arguments, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.send_signal(signal.SIGTERM)
        said, _errors = self.process.communicate(timeout=30)
        self.counts = json.loads(said)

    @property
    def failures(self) -> dict[str, float]:
        """Every call that was not served, by what became of it."""
        kinds = ("otherwise", "refused", "reset", "cut", "late")
        return {kind: self.counts[kind] for kind in kinds if self.counts[kind]}

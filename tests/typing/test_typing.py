"""The types of the compiled modules say what the modules are, and are of use to who calls them."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
COMPILED = [
    f"fastgw.{name}"
    for name in (
        "_answers", "_call", "_core", "_credentials", "_drain", "_flight", "_frames", "_http", "_idempotency", "_json",
        "_lines", "_mapping", "_routes", "_segment", "_sse", "_tables", "_targets", "_usage", "_wire",
    )
]  # fmt: skip


def run(*command: str) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_compiled_module_has_its_types() -> None:
    assert sorted(path.stem for path in (ROOT / "src/fastgw").glob("*.pyx")) == sorted(
        name.removeprefix("fastgw.") for name in COMPILED
    )


def test_the_types_name_what_the_compiled_modules_have_and_nothing_else() -> None:
    run("mypy.stubtest", *COMPILED, "--allowlist", str(HERE / "stubtest_allowlist.txt"))


def test_right_uses_are_accepted_and_wrong_ones_refused() -> None:
    run("mypy", "--strict", "--no-error-summary", str(HERE / "examples.py"))

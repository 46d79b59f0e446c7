"""Builds the test-only extensions `_kernels` and `_money` from the package's own .pxd files, and what they work on.

They are compiled into `build/` of the checkout when they, or a kernel that they include, have changed.
"""

from __future__ import annotations

import fcntl
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastgw._core import Gate
    from fastgw._segment import Segment
    from fastgw.rows import PlanRow

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OUT = ROOT / "build" / "test-kernels" / f"{sysconfig.get_config_var('SOABI')}"
NAMES = ("_kernels", "_money")


def build() -> Path:
    """Compile what is out of date; the folder that holds the extensions."""
    OUT.mkdir(parents=True, exist_ok=True)
    with open(OUT / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_built():
            _compile()
    return OUT


def _is_built() -> bool:
    """Whether the extensions are there, newer than all that they are made of: to ask Cython takes a second."""
    made = [OUT / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}" for name in NAMES]
    sources = [Path(__file__), *HERE.glob("*.pyx"), *(ROOT / "src" / "fastgw").rglob("*.pxd")]
    return all(file.exists() for file in made) and (
        min(file.stat().st_mtime_ns for file in made) > max(file.stat().st_mtime_ns for file in sources)
    )


def _compile() -> None:
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension  # type: ignore[import-untyped]

    headers = ROOT / "build/python-headers/root/usr/include"  # where setup.py unpacks them when there are none
    extensions = [
        Extension(
            name,
            [str(HERE / f"{name}.pyx")],
            include_dirs=[str(headers / f"python{sysconfig.get_python_version()}"), str(headers)],
            extra_compile_args=["-O3", "-fno-semantic-interposition"],
        )
        for name in NAMES
    ]
    distribution = Distribution(
        {
            "ext_modules": cythonize(  # type: ignore[no-untyped-call]
                extensions,
                include_path=[str(ROOT / "src")],
                build_dir=str(OUT / "c"),
                compiler_directives={"language_level": 3, "binding": False},
                quiet=True,
            )
        }
    )
    distribution.verbose = 0
    command = distribution.get_command_obj("build_ext")
    command.build_lib = str(OUT)
    command.build_temp = str(OUT / "o")
    command.ensure_finalized()
    command.run()


def load() -> None:
    """Make `import _kernels` and `import _money` work in this process."""
    folder = str(build())
    if folder not in sys.path:
        sys.path.insert(0, folder)


def scratch_segment() -> Segment:
    """A small segment that has no file any more: for tests that need a new one for every example."""
    from fastgw._segment import Segment

    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        return Segment.create(
            f"{folder}/segment", secret=bytes(32), keys_max=64, accounts_max=4, routes_max=2, journal_records=8
        )


def money(segment: Segment, index: int) -> dict[str, int]:
    """The words of an account that change as it is spent from; what a keeper took counts as captured here."""
    account = segment.account(index)
    account["captured"] += account["taken"]
    return {name: account[name] for name in ("granted", "credit", "committed", "captured", "held")}


def gate_tables(segment: Segment, *rows: dict[str, Any], plans: Sequence[PlanRow] = ()) -> tuple[Any, Any, Any]:
    """Routes, templates and plans for a gate; a route is of any host and method, free and unlimited unless its row says
    else."""
    from fastgw import refusals
    from fastgw.rows import RouteRow

    plain = RouteRow(
        name=b"api", slot=0, path=b"/", hosts=(), methods=0, price_nanos=0, rate=None, needs_key=True,
        forward_key=False, preserve_host=False, dialect=0, set_lines=b"", drop=(), plan_prices={},
    )  # fmt: skip
    routes = [plain._replace(**{"slot": segment.route_slot(row.get("name", b"api").decode()), **row}) for row in rows]
    return routes, refusals.templates(realm="test", docs_url="", top_up_url=""), list(plans)


def make_gate(
    segment: Segment, worker: int, *rows: dict[str, Any], plans: Sequence[PlanRow] = (), **options: Any
) -> Gate:
    """A worker's gate with the given routes and plans."""
    from fastgw._core import Gate

    return Gate(segment, worker, *gate_tables(segment, *rows, plans=plans), **options)

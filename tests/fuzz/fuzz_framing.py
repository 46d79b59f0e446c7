"""Finds streams that the gateway and h11 read differently, guided by coverage, for as long as it is let.

    python tests/fuzz/fuzz_framing.py [-max_total_time=600] [CORPUS_DIRECTORY]

Wants the extra `fuzz` (atheris). It runs the uncompiled data plane, whose branches can be seen, and begins with what
`streams.Maker` makes. What it finds belongs into `findings.py`.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
SEEDS = 2000
SEPARATOR = 0xFE  # in an input: what follows comes in another piece


def uncompiled() -> str:
    from wire.rig import uncompiled_package

    return str(uncompiled_package(Path(tempfile.mkdtemp(prefix="fastgw-fuzz-"))))


def pieces(data: bytes) -> list[bytes]:
    """An input as the pieces that it stands for."""
    return [piece for piece in data.split(bytes([SEPARATOR])) if piece]


def main() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "fastgw"]:
        del sys.modules[name]
    sys.path.insert(0, uncompiled_at)
    with atheris.instrument_imports(include=["h11", "fastgw.dataplane"]):
        import framing_pair
        import streams

    gateway = framing_pair.Gateway()

    def one_input(data: bytes) -> None:
        found = framing_pair.compare(gateway, pieces(data))
        if found:
            raise AssertionError(f"{pieces(data)!r}: {found}")

    directories = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    if directories:
        for seed in range(SEEDS):
            parts = streams.Maker(random.Random(seed)).stream()
            Path(directories[0], f"seed-{seed}").write_bytes(bytes([SEPARATOR]).join(parts))
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    uncompiled_at = uncompiled()
    main()

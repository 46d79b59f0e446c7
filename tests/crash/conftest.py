"""Decides what the tests of crashes may import: the kernels by hand, as the tests of the kernels do."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "kernels"))

import kernel_build

kernel_build.load()

"""Decides what the tests of crashes may import: the kernels by hand, and gateways as tests from outside run them."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / folder) for folder in ("kernels", "blackbox")]

import kernel_build  # noqa: E402

kernel_build.load()

"""Decides what holds for every test: how many examples a property is tried with, and that nothing is compiled twice."""

import os
import sys

from hypothesis import settings

# Hundreds of processes are started from this source: its bytecode is kept, whatever other programs here are told.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# No deadline: how long an example takes says more of the machine than of the code.
settings.register_profile("fastgw", deadline=None, max_examples=50 * int(os.environ.get("FASTGW_LONG", "1")))
settings.load_profile("fastgw")

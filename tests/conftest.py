"""Decides what holds for every test: no deadline for an example, nothing compiled twice, nobody trusted by accident."""

import os
import sys
from pathlib import Path

from hypothesis import settings

# Hundreds of processes are started from this source: its bytecode is kept, whatever other programs here are told.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# The machine's own authorities, if it has any, are a hundred and more, and read anew for every TLS context.
os.environ["SSL_CERT_FILE"] = str(Path(__file__).with_name("authority.pem"))

# How long an example takes says more of the machine than of the code.
settings.register_profile("fastgw", deadline=None, max_examples=50 * int(os.environ.get("FASTGW_LONG", "1")))
settings.load_profile("fastgw")

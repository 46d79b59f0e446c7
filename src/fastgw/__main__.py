"""Decides that `python -m fastgw` is the command `fastgw`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())

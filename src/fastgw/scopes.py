"""Decides which models a key may be limited to, and how a set of them is written: names, and patterns with *."""

import re
from collections.abc import Sequence

MODEL = "[A-Za-z0-9._:/@+*-]{1,127}"
MOST = 64  # of one key
LENGTH_MAX = 1_000  # characters, of all together
RULE = "must be 1 to 127 of A-Z a-z 0-9 . _ : / @ + -, with * for any others"

_MODEL = re.compile(MODEL)


def scope(models: Sequence[str]) -> tuple[str, ...]:
    """A set of models, each once; () for all. Raises ValueError."""
    if not models:
        raise ValueError("must name a model; leave it out for all of them")
    for model in models:
        if not _MODEL.fullmatch(model):
            raise ValueError(f"each {RULE}")
    if len(models) > MOST or sum(map(len, models)) + len(models) > LENGTH_MAX:
        raise ValueError(f"must be at most {MOST} names and patterns, of {LENGTH_MAX} characters together")
    return () if "*" in models else tuple(dict.fromkeys(models))

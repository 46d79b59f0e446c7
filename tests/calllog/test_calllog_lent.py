"""What is lent to the query engine comes back: otherwise each file of calls would stay open for ever."""

import gc
from pathlib import Path

import duckdb
import numpy as np

from fastgw.calllog import arrow
from fastgw.calllog.arrow import ArrowTable, Batch, Field


def test_nothing_lent_to_the_engine_is_kept_when_it_has_been_read(tmp_path: Path) -> None:
    """It looks at a table's fields more often than at its rows, and gives back only what it has read."""
    gc.collect()  # of tests before
    engine = duckdb.connect()
    table = ArrowTable([Field("a", "l")], lambda: iter([Batch(3, (np.arange(3),))]))
    for number in range(3):
        engine.register("source", table)
        engine.execute(f"COPY (FROM source) TO '{tmp_path}/{number}.parquet' (FORMAT parquet)")
        assert engine.execute("SELECT sum(a) FROM source").fetchall() == [(3,)]
        engine.unregister("source")
    engine.close()
    gc.collect()
    assert (arrow._in_use, arrow._in_capsules) == ({}, {})

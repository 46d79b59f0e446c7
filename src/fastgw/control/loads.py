"""Decides where what workers do with servers is read: their table of targets, which is there once one had a target."""

import os

from .._segment import Segment, SegmentError
from .._targets import Targets, table_path, target_name
from .ports import Load, Loads

NOTHING = Load()


class TableOfLoads:
    """For any thread. Called, it gives what is known at that moment of a server of an upstream."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._table: Targets | None = None

    def __call__(self) -> Loads:
        rows = {name: _load(row) for name, row in self._rows().items()}
        return lambda upstream, server: rows.get(target_name(upstream, server), NOTHING)

    def _rows(self) -> dict[int, dict[str, int]]:
        if self._table is None:
            if not os.path.exists(table_path(self._segment)):
                return {}
            try:
                self._table = Targets(self._segment, -1)
            except (OSError, SegmentError):
                return {}
        return self._table.rows()


def _load(row: dict[str, int]) -> Load:
    return Load(
        in_flight=row["in_flight"],
        connections=row["open"],
        calls=row["calls"],
        failures=row["failures"],
        retries=row["retries"],
        ejections=row["ejections"],
        ejected=row["ejected"],
    )

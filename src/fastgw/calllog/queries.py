"""Decides how questions to the log are answered: Parquet files and waiting rows as one table, values always bound."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import duckdb

from .arrow import ArrowTable, Batch
from .catalog import Catalog, Snapshot
from .columns import FIELDS, batches
from .names import NameBook
from .records import CHARGED, ESTIMATED, HOUR_NS
from .views import Call, CallFilter, Interval, Usage

LIMIT_MAX = 10_000
GROUPS_MAX = 100_000
_FOREVER = (1 << 63) - 1
_TIME = "strftime(time, '%Y-%m-%dT%H:%M:%S.%fZ')"
_SHOWN = {
    "time": _TIME,
    "request_id": "replace(request_id::VARCHAR, '-', '')",
    # Files from before these columns were there have none.
    **{name: f"ifnull({name}, '')" for name in ("model", "tag")},
    **{name: f"ifnull({name}, 0)" for name in ("tokens_cached", "tokens_reasoning")},
}
_COLUMNS = ", ".join(_SHOWN.get(field.name, field.name) for field in FIELDS)
_GROUPS = {"account": "account", "key": "key_id", "route": "route", "code": "verdict"} | {
    name: _SHOWN[name] for name in ("model", "tag")
}
_INTERVALS: dict[Interval, str] = {"": "", "minute": "minute", "hour": "hour", "day": "day"}
_ESCAPE = str.maketrans({"%": "\\%", "_": "\\_", "\\": "\\\\"})


class Stretch(NamedTuple):
    """Where an answer is looked for; of waiting rows only those begun in the time and behind the position `after`."""

    snapshot: Snapshot
    since_ns: int
    until_ns: int
    after: int


class Queries:
    """Answers from any thread, one at a time."""

    def __init__(self, catalog: Catalog, books: dict[str, NameBook], engine: duckdb.DuckDBPyConnection) -> None:
        self.catalog = catalog
        self.books = books
        self.engine = engine
        self.lock = threading.Lock()

    def calls(
        self, wanted: CallFilter, *, after: int | None = None, limit: int = 100, newest_first: bool = True
    ) -> list[Call]:
        """At most `limit` (1 to LIMIT_MAX) calls, by the time at which they began.

        With `after`, a position: the calls that came into the log after that one, in that order, so that who asks
        again with the last position it got sees every call once. Raises ValueError, duckdb.Error.
        """
        if not 1 <= limit <= LIMIT_MAX:
            raise ValueError(f"limit must be from 1 to {LIMIT_MAX}")
        conditions, values = _conditions(wanted)
        since, until = wanted.since_ns, wanted.until_ns or _FOREVER
        with self.catalog.snapshot() as snapshot:
            stretches: Iterator[Stretch]
            if after is not None:
                conditions.append("position > $after")
                query = f"SELECT {_COLUMNS} {_where(conditions)} ORDER BY position LIMIT $limit"
                behind = _from_position(_between(snapshot, wanted), after)
                stretches = iter([Stretch(behind, since, until, after)])
                values["after"] = after
            else:
                order = "DESC" if newest_first else "ASC"
                by = f"ORDER BY log.time {order}, position {order} LIMIT $limit"
                query = f"SELECT {_COLUMNS} {_where(conditions)} {by}"
                stretches = by_hours(_between(snapshot, wanted), since, until, newest_first)
            found: list[Call] = []
            for stretch in stretches:
                rows = self._ask(query, {**values, "limit": limit - len(found)}, stretch)
                found.extend(Call(*row) for row in rows)
                if len(found) >= limit:
                    break
            return found

    def usage(
        self, group_by: str = "", *, wanted: CallFilter | None = None, interval: Interval = "", limit: int = 1_000
    ) -> list[Usage]:
        """Sums by account, key, route, code, model or tag, several of them with commas, and by interval of UTC.

        The dearest first within each interval.

        At most `limit` (1 to GROUPS_MAX) of them. Raises ValueError, duckdb.Error.
        """
        groups = group_by.split(",") if group_by else []
        if not set(groups) <= _GROUPS.keys() or len(set(groups)) < len(groups) or interval not in _INTERVALS:
            raise ValueError(f"group_by is of {list(_GROUPS)} with commas, interval one of {list(_INTERVALS)}")
        if not 1 <= limit <= GROUPS_MAX:
            raise ValueError(f"limit must be from 1 to {GROUPS_MAX}")
        wanted = wanted or CallFilter()
        conditions, values = _conditions(wanted)
        start = f"strftime(date_trunc('{interval}', time), '%Y-%m-%dT%H:%M:%SZ')" if interval else "''"
        name = f"concat_ws(',', {', '.join(_GROUPS[group] for group in groups)})" if groups else "''"
        query = f"""
            SELECT {name} AS name, {start} AS start, count(*) AS calls,
                count(*) FILTER (flags & {CHARGED} = {CHARGED}), count(*) FILTER (flags & {ESTIMATED} = {ESTIMATED}),
                sum(cost_nanos) AS cost, sum(tokens_in), sum(tokens_out), ifnull(sum(tokens_cached), 0),
                ifnull(sum(tokens_reasoning), 0), sum(bytes_in), sum(bytes_out),
                approx_quantile(total_us, 0.5)::BIGINT, approx_quantile(total_us, 0.99)::BIGINT
            {_where(conditions)} GROUP BY ALL HAVING count(*) > 0
            ORDER BY start, cost DESC, calls DESC, name LIMIT $limit
        """
        with self.catalog.snapshot() as snapshot:
            stretch = Stretch(_between(snapshot, wanted), wanted.since_ns, wanted.until_ns or _FOREVER, 0)
            rows = self._ask(query, {**values, "limit": limit}, stretch)
            return [Usage(*row) for row in rows]

    def _ask(self, query: str, values: dict[str, Any], stretch: Stretch) -> list[tuple[Any, ...]]:
        """Run the query, whose table is `log`."""
        waiting = ArrowTable(FIELDS, lambda: self._batches(stretch))
        source = "SELECT * FROM waiting"
        if stretch.snapshot.parts:
            source += " UNION ALL BY NAME SELECT * FROM read_parquet($files, union_by_name = true)"
            values = {**values, "files": [str(part.path) for part in stretch.snapshot.parts]}
        with self.lock:
            self.engine.register("waiting", waiting)
            try:
                return self.engine.execute(f"WITH log AS ({source}) {query}", values).fetchall()
            finally:
                self.engine.unregister("waiting")

    def _batches(self, stretch: Stretch) -> Iterator[Batch]:
        for spool, rows in stretch.snapshot.waiting:
            behind = rows[max(0, stretch.after + 1 - spool.first) :]
            positions = spool.positions(len(rows))[len(rows) - len(behind) :]
            book = self.books[spool.begun.segment]
            yield from batches(behind, positions, book, since_ns=stretch.since_ns, until_ns=stretch.until_ns)


def _conditions(wanted: CallFilter) -> tuple[list[str], dict[str, Any]]:
    """SQL and its values."""
    conditions: list[str] = []
    values: dict[str, Any] = {}

    def add(name: str, condition: str, value: object, convert: Callable[[Any], object] = lambda value: value) -> None:
        if value:
            conditions.append(condition)
            values[name] = convert(value)

    # Parquet has microseconds: a call within the first one begins at it.
    add("since", "log.time >= make_timestamptz($since)", wanted.since_ns, lambda ns: ns // 1000)
    add("until", "log.time < make_timestamptz($until)", wanted.until_ns, lambda ns: -(-ns // 1000))
    add("account", "account = $account", wanted.account)
    add("key_id", "key_id = $key_id", wanted.key_id)
    add("route", "route = $route", wanted.route)
    add("code", "verdict = $code", wanted.code)
    add("model", "model = $model", wanted.model)
    add("tag", "tag = $tag", wanted.tag)
    add("status", "status = $status", wanted.status)
    add("request_id", "request_id = try_cast($request_id AS UUID)", wanted.request_id)
    add("cost_min", "cost_nanos >= $cost_min", wanted.cost_min_nanos)
    add("path", "path LIKE $path ESCAPE '\\'", wanted.path_prefix, lambda path: path.translate(_ESCAPE) + "%")
    return conditions, values


def _where(conditions: Sequence[str]) -> str:
    return "FROM log" + (" WHERE " + " AND ".join(conditions) if conditions else "")


def _between(snapshot: Snapshot, wanted: CallFilter) -> Snapshot:
    """Without the files that hold no call of the time asked for."""
    until = wanted.until_ns or _FOREVER
    parts = [part for part in snapshot.parts if part.end_ns > wanted.since_ns and part.hour * HOUR_NS < until]
    return Snapshot(parts, snapshot.waiting)


def _from_position(snapshot: Snapshot, after: int) -> Snapshot:
    """Without the files whose rows all came into the log up to `after`."""
    return Snapshot(
        [part for part in snapshot.parts if part.last > after],
        [each for each in snapshot.waiting if each.spool.first + len(each.rows) > after + 1],
    )


def by_hours(snapshot: Snapshot, since: int, until: int, newest_first: bool) -> Iterator[Stretch]:
    """The log in stretches of time, one after the other: of 1, 1, 2, 4 … hours that have rows."""
    waiting: set[int] = set().union(*(each.spool.hours for each in snapshot.waiting if len(each.rows)))
    hours = sorted(waiting.union(part.hour for part in snapshot.parts), reverse=newest_first)
    at, length = 0, 1
    while at < len(hours):
        some = set(hours[at : at + length])
        rows = [each for each in snapshot.waiting if each.spool.hours & some]
        begin, end = min(some) * HOUR_NS, (max(some) + 1) * HOUR_NS
        parts = [part for part in snapshot.parts if part.hour in some]
        yield Stretch(Snapshot(parts, rows), max(since, begin), min(until, end), 0)
        at, length = at + length, max(length, at)

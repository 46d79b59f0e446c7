"""Decides how results read: Markdown tables, the same on the terminal and in the file, and which targets are
met."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cases import CONNECTIONS
from endurance import Endurance
from footprint import Footprint
from growth import Growth
from latency import Latency
from rounds import Cell
from scale import Scale

Cells = Mapping[tuple[str, str], Mapping[str, Cell]]
RIVALS = ("nginx-lua", "floor", "envoy")  # whose ratios are in the main table
PAIRED = (*RIVALS, "nginx")  # with whom ratios are taken within rounds
MIB = 2**20


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns: the first to the left, figures to the right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    left = [i == 0 or not any(any(c.isdigit() for c in row[i]) for row in rows) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = (
            text.ljust(w) if to_left else text.rjust(w) for text, w, to_left in zip(row, widths, left, strict=True)
        )
        return "| " + " | ".join(cells) + " |"

    rule = (
        "|"
        + "|".join("-" * (w + 2) if to_left else "-" * (w + 1) + ":" for w, to_left in zip(widths, left, strict=True))
        + "|"
    )
    return "\n".join([line(head), rule, *map(line, rows)])


def _peers(cells: Cells) -> list[str]:
    return list(dict.fromkeys(peer for by_peer in cells.values() for peer in by_peer))


def _figure(cell: Cell | None) -> str:
    if cell is None:
        return ""
    return f"{cell.cpu_us:.2f}" + (" (!)" if cell.faults else "") if cell.rounds else "invalid"


def main_table(cells: Cells) -> str:
    """CPU µs per request, one row per case; then the first contender's ratios to its rivals, taken within
    rounds."""
    peers = _peers(cells)
    subject = "fastgw" if "fastgw" in peers else peers[0]
    rivals = [rival for rival in RIVALS if rival in peers and rival != subject]
    rows = []
    for (mode, column), by_peer in cells.items():
        own = by_peer.get(subject)
        ratios = [f"{own.ratio[rival]:.2f}" if own and rival in own.ratio else "" for rival in rivals]
        rows.append([mode, column, *(_figure(by_peer.get(peer)) for peer in peers), *ratios])
    return table(["mode", "request", *peers, *(f"{subject} / {rival}" for rival in rivals)], rows)


def books(cells: Cells) -> str:
    """What keeping the books costs a call, in a process of its own; one sentence, or nothing."""
    costs = {
        f"{mode} {column}": by_peer["fastgw"].behind_us
        for (mode, column), by_peer in cells.items()
        if "fastgw" in by_peer
    }
    shown = ", ".join(f"{case} {cost:.2f}" for case, cost in costs.items() if cost)
    return f"Beside it, fastgw's keeper (ledger, call log, metrics), CPU µs per call: {shown}." if shown else ""


def detail_table(cells: Cells) -> str:
    """Every cell: median and range, ratios to nginx-lua and the floor, how busy both sides were."""
    rows = []
    for (mode, column), by_peer in cells.items():
        for peer, cell in by_peer.items():
            low, high = cell.spread_us
            rows.append(
                [
                    f"{mode} {column}",
                    peer,
                    _figure(cell),
                    f"{low:.2f}–{high:.2f}",
                    *(f"{cell.ratio[rival]:.2f}" if rival in cell.ratio else "" for rival in ("nginx-lua", "floor")),
                    f"{cell.requests_per_s:,.0f}",
                    f"{cell.server_busy:.0%}",
                    f"{cell.load_busy:.0%}",
                    str(cell.answer_bytes),
                    f"{cell.behind_us:.2f}" if cell.behind_us else "",
                    str(cell.rounds),
                ]
            )
    head = [
        "case",
        "contender",
        "CPU µs",
        "range",
        "/ nginx-lua",
        "/ floor",
        "requests/s",
        "server busy",
        "wrk busy",
        "answer bytes",
        "books, µs",
        "rounds",
    ]
    return table(head, rows)


def growth_table(results: Sequence[Growth]) -> str:
    rows = [
        [
            r.peer,
            r.mode,
            f"{r.small_us:.2f}",
            f"{r.large_us:.2f}",
            f"{r.ratio:.2f}",
            f"{r.small_ready_s:.1f}",
            f"{r.large_ready_s:.1f}",
        ]
        for r in results
    ]
    many = f"{results[0].population:,} keys" if results else "many keys"
    return table(
        ["contender", "mode", "10 keys, µs", f"{many}, µs", "ratio", "start, s", f"start with {many}, s"],
        rows,
    )


def scale_table(results: Sequence[Scale]) -> str:
    rows = [
        [
            r.peer,
            r.mode,
            f"{r.one_us:.2f}",
            f"{r.two_us:.2f}",
            f"{r.cost_ratio:.2f}",
            f"{r.one_per_s:,.0f}",
            f"{r.two_per_s:,.0f}",
            f"{r.throughput:.2f}" if r.share else "no quota",
        ]
        for r in results
    ]
    head = [
        "contender",
        "mode",
        "1 worker, µs",
        "2 workers, µs",
        "cost ratio",
        "1 worker, /s",
        "2 workers, /s",
        "throughput ×",
    ]
    return table(head, rows)


def latency_table(results: Sequence[Latency]) -> str:
    rows = []
    for r in results:
        if r.rounds == 0:
            rows.append([r.peer, "invalid", *[""] * 9])
            continue
        triples = zip(r.direct_us, r.through_us, r.added_us, strict=True)
        rows.append([r.peer, f"{r.rate_per_s:,.0f}", *(f"{value:.0f}" for triple in triples for value in triple)])
    quantiles = ("p50", "p99", "p99.9")
    return table(
        [
            "contender",
            "rate, /s",
            *(f"{q} {what}" for q in quantiles for what in ("direct", "through", "added")),
        ],
        rows,
    )


def memory_table(results: Sequence[Footprint]) -> str:
    rows = [
        [
            r.peer,
            str(r.processes),
            f"{r.worker_rss / MIB:.1f}",
            f"{r.worker_pss / MIB:.1f}",
            f"{r.worker_private / MIB:.1f}",
            f"{r.total_pss / MIB:.1f}",
            f"{r.per_1000_idle / MIB:.2f}",
            f"{r.keys_total_pss / MIB:.0f}" if r.keys else "",
            f"{r.keys_shared / MIB:.0f}" if r.keys else "",
        ]
        for r in results
    ]
    keys = next((r.keys for r in results if r.keys), 0)
    head = [
        "contender",
        "processes",
        "worker RSS",
        "worker PSS",
        "worker private",
        "all PSS",
        "per 1,000 idle",
    ]
    return table([*head, f"{keys:,} keys, PSS", f"{keys:,} keys, shared"], rows)


def endurance_table(results: Sequence[Endurance]) -> str:
    rows = [
        [
            r.mode,
            f"{r.seconds:.0f}",
            f"{r.requests:,}",
            f"{r.requests_per_s:,.0f}",
            f"{r.worker_us:.2f}",
            f"{r.keeper_us:.2f}",
            f"{r.rows:,}",
            f"{r.dropped:,}",
            f"{r.lag_s:.3f}",
        ]
        for r in results
    ]
    head = [
        "mode",
        "seconds",
        "calls",
        "calls/s",
        "worker, µs",
        "keeper, µs",
        "rows logged",
        "dropped",
        "ledger lag, s",
    ]
    return table(head, rows)


@dataclass(frozen=True)
class Target:
    """One promise and what was measured; ``value`` is None where a rival or a measurement is missing."""

    text: str
    limit: float
    value: float | None
    at_least: bool = False

    @property
    def met(self) -> bool | None:
        if self.value is None:
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def targets(cells: Cells, growth: Sequence[Growth], scale: Sequence[Scale]) -> list[Target]:
    """What fastgw promises, judged on requests that differ in every head."""

    def ratio(mode: str, rival: str) -> float | None:
        cell = cells.get((mode, "fresh"), {}).get("fastgw")
        return cell.ratio.get(rival) if cell else None

    found: list[Target] = []
    for mode in ("402", "429", "401") if cells else ():
        found.append(Target(f"refuse {mode}: CPU / nginx-lua", 0.85, ratio(mode, "nginx-lua")))
        found.append(Target(f"refuse {mode}: CPU / floor", 1.4, ratio(mode, "floor")))
    if cells:
        found.append(Target("proxy: CPU / nginx-lua", 0.95, ratio("proxy", "nginx-lua")))
        found.append(Target("proxy: CPU / envoy", 0.6, ratio("proxy", "envoy")))
    for growing in growth:
        if growing.peer == "fastgw" and growing.ratio:
            found.append(Target(f"{growing.mode}: {growing.population:,} keys / 10 keys", 1.25, growing.ratio))
    for scaling in scale:
        if scaling.peer == "fastgw":
            if scaling.throughput:
                found.append(
                    Target(f"{scaling.mode}: requests of 2 workers / 1", 1.8, scaling.throughput, at_least=True)
                )
            if scaling.cost_ratio:
                found.append(Target(f"{scaling.mode}: CPU of 2 workers / 1", 1.1, scaling.cost_ratio))
    return found


def target_table(found: Sequence[Target]) -> str:
    verdicts = {True: "met", False: "missed", None: "not measured"}
    rows = [
        [
            t.text,
            ("≥ " if t.at_least else "≤ ") + f"{t.limit:.2f}",
            "" if t.value is None else f"{t.value:.3f}",
            verdicts[t.met],
        ]
        for t in found
    ]
    return table(["target", "bound", "measured", "verdict"], rows)


def plain_distance(cells: Cells) -> str:
    """How far plain nginx, which checks nothing, is; one sentence, or nothing."""
    by_peer = cells.get(("proxy", "fresh"), {})
    own, plain = by_peer.get("fastgw"), by_peer.get("nginx")
    if not own or not plain or "nginx" not in own.ratio:
        return ""
    return (
        f"Plain nginx `proxy_pass`, which checks nothing, takes {plain.cpu_us:.2f} µs: "
        f"fastgw takes {own.ratio['nginx']:.2f} × of it."
    )


def faults(
    cells: Cells,
    *others: Sequence[Growth] | Sequence[Scale] | Sequence[Latency] | Sequence[Footprint] | Sequence[Endurance],
) -> list[str]:
    """Everything that made a figure invalid, in words."""
    found = [
        f"{peer}, {mode} {column}: {fault}"
        for (mode, column), by_peer in cells.items()
        for peer, cell in by_peer.items()
        for fault in cell.faults
    ]
    for results in others:
        found += [f"{r.peer}, {type(r).__name__.lower()}: {fault}" for r in results for fault in r.faults]
    return found


def document(
    when: str,
    machine: Mapping[str, str],
    versions: Mapping[str, str],
    absent: Mapping[str, str],
    sections: Sequence[tuple[str, str]],
    problems: Sequence[str],
    chart: str | None,
) -> str:
    """The whole Markdown file."""
    parts = [
        f"# Comparison of {when}",
        "",
        f"CPU µs per request at {CONNECTIONS} kept-alive connections; method in ../README.md.",
        "",
    ]
    if chart:
        parts += [f"![CPU µs per request]({chart})", ""]
    for title, text in sections:
        parts += [f"## {title}", "", text, ""]
    if problems:
        parts += ["## Invalid or doubtful", "", *(f"- {problem}" for problem in problems), ""]
    parts += ["## Machine and versions", ""]
    parts += [f"- {name}: {value}" if name != "command" else f"- command: `{value}`" for name, value in machine.items()]
    parts += [f"- {name}: {version}" for name, version in versions.items()]
    parts += [f"- {name}: {reason}" for name, reason in absent.items()]
    return "\n".join(parts) + "\n"

"""Decides what is measured and where it is written: ``python bench/compare.py --help``.

Exit status 0 when every figure is valid, 1 when one is not, 2 for wrong usage. Nothing here judges timing.
"""

import argparse
import datetime
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from types import FrameType

import chart
import machine
import report
from cases import COLUMNS, MODES, Case
from endurance import PEERS as ENDURANCE_PEERS
from endurance import Endurance, run_endurance
from field import Field, field
from footprint import PEERS as MEMORY_PEERS
from footprint import Footprint, run_footprint
from growth import PEERS as GROWTH_PEERS
from growth import Growth, run_growth
from latency import PEERS as LATENCY_PEERS
from latency import Latency, run_latency
from peers import ALL, Peer
from rounds import Sample, run_rounds, summarise
from scale import PEERS as SCALE_PEERS
from scale import Scale, run_scale
from tls import PEERS as TLS_PEERS
from tls import Agreed, run_tls, tls_section

PARTS = ("main", "tls", "growth", "scale", "latency", "memory", "endurance")
NEEDED = {"wrk": "wrk", "cc": "gcc libc6-dev", "taskset": "util-linux", "openssl": "openssl"}
RESULTS = Path(__file__).parent / "results"


def _choice(text: str, allowed: tuple[str, ...]) -> list[str]:
    chosen = [word for word in text.split(",") if word]
    wrong = [word for word in chosen if word not in allowed]
    if wrong or not chosen:
        raise argparse.ArgumentTypeError(f"{','.join(wrong) or 'nothing'} is none of {','.join(allowed)}")
    return [word for word in allowed if word in chosen]


def arguments() -> argparse.Namespace:
    names = tuple(peer.name for peer in ALL)
    parser = argparse.ArgumentParser(
        prog="compare.py",
        description="CPU per request of fastgw beside its peers, in one run, pinned alike.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of {', '.join(PARTS)}, or all (default: main)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds of every measurement")
    parser.add_argument("--seconds", type=float, default=2.0, metavar="S", help="seconds per run, whole ones for wrk")
    parser.add_argument(
        "--only", type=lambda t: _choice(t, names), default=list(names), metavar="A,B", help="contenders"
    )
    parser.add_argument("--modes", type=lambda t: _choice(t, MODES), default=list(MODES), metavar="A,B", help="of main")
    parser.add_argument(
        "--columns", type=lambda t: _choice(t, COLUMNS), default=list(COLUMNS), metavar="A,B", help="of main"
    )
    parser.add_argument("--keys", type=int, default=1_000_000, metavar="N", help="keys loaded for growth and memory")
    parser.add_argument("--minutes", type=float, default=1.0, metavar="M", help="of endurance, for each mode")
    parser.add_argument("--quick", action="store_true", help="one round of 1 s, 10,000 keys, no files: a smoke test")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR", help="where the results are written")
    parser.add_argument("--no-write", action="store_true", help="print only")
    args = parser.parse_args()
    if wrong := [part for part in args.parts if part not in (*PARTS, "all")]:
        parser.error(f"{wrong[0]} is none of {', '.join(PARTS)}, all")
    args.parts = list(PARTS) if "all" in args.parts else [part for part in PARTS if part in (args.parts or ["main"])]
    if args.quick:
        args.rounds, args.seconds, args.no_write, args.keys = 1, 1.0, True, min(args.keys, 10_000)
        args.minutes = 2 / 60
    if args.rounds < 1 or args.seconds < 1 or not 10 <= args.keys <= 9_000_000:
        parser.error("at least one round of one second, and 10 to 9,000,000 keys")
    return args


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class Run:
    """One invocation: the parts that were asked for, one after the other, and what they found."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        chosen = [peer for peer in ALL if peer.name in args.only]
        self.absent = {peer.name: why for peer in chosen if (why := peer.missing())}
        self.peers = [peer for peer in chosen if peer.name not in self.absent]
        self.versions = {peer.name: peer.version() for peer in self.peers}
        self.samples: list[Sample] = []
        self.tls_samples: list[Sample] = []
        self.agreed: list[Agreed] = []
        self.growth_samples: list[Sample] = []
        self.scale_samples: list[Sample] = []
        self.growth: list[Growth] = []
        self.scale: list[Scale] = []
        self.latency: list[Latency] = []
        self.memory: list[Footprint] = []
        self.endurance: list[Endurance] = []

    def named(self, names: tuple[str, ...]) -> list[Peer]:
        return [peer for peer in self.peers if peer.name in names]

    def measure(self, ground: Field) -> None:
        args = self.args
        if "main" in args.parts or "latency" in args.parts:
            contenders = []
            for peer in self.peers:
                try:
                    contenders.append(ground.start(peer))
                except RuntimeError as error:
                    self.absent[peer.name] = f"did not start: {error}"
            if "main" in args.parts:
                cases = [Case(mode, column) for mode in args.modes for column in args.columns]
                self.samples = run_rounds(contenders, cases, ground, args.rounds, args.seconds, say)
            if "latency" in args.parts:
                able = [contender for contender in contenders if contender.peer.name in LATENCY_PEERS]
                self.latency = run_latency(able, ground, args.rounds, args.seconds, say)
            for contender in contenders:
                contender.process.stop()
        if "tls" in args.parts:
            self.agreed, self.tls_samples = run_tls(self.named(TLS_PEERS), ground, args.rounds, args.seconds, say)
        if "scale" in args.parts:
            self.scale, self.scale_samples = run_scale(self.named(SCALE_PEERS), ground, args.rounds, args.seconds, say)
        if "growth" in args.parts:
            self.growth, self.growth_samples = run_growth(
                self.named(GROWTH_PEERS), ground, args.keys, args.rounds, args.seconds, say
            )
        if "memory" in args.parts:
            self.memory = run_footprint(self.named(MEMORY_PEERS), ground, args.keys, say)
        if "endurance" in args.parts:
            self.endurance = run_endurance(self.named(ENDURANCE_PEERS), ground, args.minutes * 60, say)

    def finish(self, began: datetime.datetime, described: dict[str, str]) -> int:
        """Print the report, write the files, and return the exit status."""
        cells = summarise(self.samples, report.PAIRED)
        sections = []
        if cells:
            said = [report.main_table(cells), report.books(cells)]
            sections.append(("CPU µs per request", "\n\n".join(filter(None, said))))
        judged = report.targets(cells, self.growth, self.scale) if "fastgw" in self.versions else []
        if judged:
            said = [report.target_table(judged), report.plain_distance(cells)]
            sections.append(("Targets", "\n\n".join(filter(None, said))))
        tls_cells = summarise(self.tls_samples, report.PAIRED)
        if tls_cells:
            sections.append(("Over TLS: CPU µs per request", tls_section(tls_cells, self.agreed)))
        if self.growth:
            sections.append(
                (
                    "Growth: CPU µs per request, random keys of all that are loaded",
                    report.growth_table(self.growth),
                )
            )
        if self.scale:
            share = max(result.share for result in self.scale)
            title = f"Two workers, each held to {share:.0%} of a core" if share else "Two workers, no quota"
            sections.append((title, report.scale_table(self.scale)))
        if self.latency:
            sections.append(
                ("Latency at half of each one's capacity, µs, open loop", report.latency_table(self.latency))
            )
        if self.memory:
            sections.append(("Memory, MiB", report.memory_table(self.memory)))
        if self.endurance:
            sections.append(
                ("Endurance: one worker at its full rate, books on", report.endurance_table(self.endurance))
            )
        measured = {**cells, **{(f"TLS {mode}", column): cell for (mode, column), cell in tls_cells.items()}}
        problems = report.faults(measured, self.growth, self.scale, self.latency, self.memory, self.endurance)
        for title, text in sections:
            print(f"\n{title}\n\n{text}")
        for line in [*problems, *(f"{name}: {why}" for name, why in self.absent.items())]:
            print(f"! {line}")
        if not self.args.no_write:
            if cells:
                sections.append(("Every contender", report.detail_table(cells)))
            if tls_cells:
                sections.append(("Every contender over TLS", report.detail_table(tls_cells)))
            self._write(began, described, sections, problems)
        return 1 if problems or any("did not start" in why for why in self.absent.values()) else 0

    def _write(
        self,
        began: datetime.datetime,
        described: dict[str, str],
        sections: list[tuple[str, str]],
        problems: list[str],
    ) -> None:
        out: Path = self.args.out
        out.mkdir(parents=True, exist_ok=True)
        stem = f"{began:%Y-%m-%d}-{machine.slug()}"
        if self.args.parts != list(PARTS) and self.args.parts != ["main"]:
            stem += "-" + "-".join(self.args.parts)
        cells = summarise(self.samples, report.PAIRED)
        drawn = None
        if cells:
            drawn = f"{stem}.svg"
            column = next(column for column in COLUMNS if any(key[1] == column for key in cells))
            note = f"{column} requests, {began:%Y-%m-%d}, {described['processor']}, {described['cores']} cores"
            titles = {peer.name: peer.title for peer in ALL}
            (out / drawn).write_text(chart.draw(cells, titles, column, note))
        text = report.document(
            f"{began:%Y-%m-%d %H:%M} UTC", described, self.versions, self.absent, sections, problems, drawn
        )
        (out / f"{stem}.md").write_text(text)
        raw = {
            "began": began.isoformat(),
            "machine": described,
            "versions": self.versions,
            "absent": self.absent,
            "samples": [sample.as_json() for sample in self.samples],
            "tls_agreed": [agreed.as_json() for agreed in self.agreed],
            "tls_samples": [sample.as_json() for sample in self.tls_samples],
            "growth_samples": [sample.as_json() for sample in self.growth_samples],
            "scale_samples": [sample.as_json() for sample in self.scale_samples],
            "growth": [result.as_json() for result in self.growth],
            "scale": [result.as_json() for result in self.scale],
            "latency": [result.as_json() for result in self.latency],
            "memory": [result.as_json() for result in self.memory],
            "endurance": [result.as_json() for result in self.endurance],
        }
        (out / f"{stem}.json").write_text(json.dumps(raw, indent=1) + "\n")
        print(f"\nwritten: {out / stem}.md, .json" + (", .svg" if drawn else ""))


def _interrupted(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    args = arguments()
    if sys.platform != "linux" or (os.cpu_count() or 1) < 2:
        print("compare.py needs Linux and two cores: one for the contender, one for the load", file=sys.stderr)
        return 2
    for tool, package in NEEDED.items():
        if shutil.which(tool) is None:
            print(f"{tool} is not installed: apt-get install {package}", file=sys.stderr)
            return 2
    signal.signal(signal.SIGTERM, _interrupted)
    began, described = datetime.datetime.now(datetime.UTC), machine.describe()
    run = Run(args)
    for name, why in run.absent.items():
        say(f"{name}: {why}")
    try:
        with field() as ground:
            run.measure(ground)
    except KeyboardInterrupt:
        say("interrupted: everything that was started has been ended")
        return 130
    return run.finish(began, described)


if __name__ == "__main__":
    sys.exit(main())

"""The demo: a whole gateway with an upstream of its own, accounts in each state, and curl lines to try them.

Everything lives in a temporary directory and ends with Ctrl-C.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import accumulate
from pathlib import Path
from typing import Any

from ._segment import Segment, SegmentError, account_digest
from .instance import segment_path
from .refusals import TABLE, Refusal
from .states import ANSWER_CLASS, WorkerState
from .units import format_money

RICH, POOR, SLOW, REVOKED = "sk-demo-rich", "sk-demo-poor", "sk-demo-limited", "sk-demo-revoked"
START_TIMEOUT_S = 20.0
REFRESH_S = 0.25

CONFIG = """\
[server]
listen = "{listen}"
admin = "off"
workers = 2
state_dir = "{directory}/state"
segment_dir = "{directory}"
top_up_url = "https://example.com/top-up"

[[upstreams]]
name = "weather"
targets = ["http://127.0.0.1:{port}"]

[[routes]]
name = "forecast"
path = "/v1/"
upstream = "weather"
price = "0.001"                  # of a dollar, per call

[[accounts]]
name = "rich"
balance = "100.00"

[[accounts]]
name = "poor"                    # enough for two calls
balance = "0.002"

[[keys]]
account = "rich"
key = "{rich}"

[[keys]]
account = "poor"
key = "{poor}"

[[keys]]
account = "rich"
key = "{slow}"
rate = "10/m"                    # this key's own limit
burst = 1

[[keys]]
account = "rich"
key = "{revoked}"
revoked = true
"""


class _Weather(BaseHTTPRequestHandler):
    """An upstream that answers every call with a little JSON, and says what it was asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        asked = {"path": self.path, "request_id": self.headers.get("x-request-id"), "your_key": "never reached me"}
        if "authorization" in self.headers or "x-api-key" in self.headers:
            asked["your_key"] = "REACHED ME"
        body = json.dumps({"forecast": "sunny", "asked": asked}).encode() + b"\n"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, *_: Any) -> None:
        """The live line says it all."""


def memory_directory() -> str | None:
    """Where a segment may lie: memory if the machine has such a directory, else the default for temporary files."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def run(listen: str) -> int:
    """Serve the demo at `listen` until Ctrl-C; the exit code."""
    directory = Path(tempfile.mkdtemp(prefix="fastgw-demo-", dir=memory_directory()))
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), _Weather)
    upstream.daemon_threads = True
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    config = directory / "fastgw.toml"
    config.write_text(
        CONFIG.format(
            listen=listen, directory=directory, port=upstream.server_address[1],
            rich=RICH, poor=POOR, slow=SLOW, revoked=REVOKED,
        )
    )  # fmt: skip
    # Ctrl-C reaches the gateway too, in a terminal; SIGTERM is passed on below.
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    gateway = subprocess.Popen([sys.executable, "-m", "fastgw", "serve", "-c", str(config)], start_new_session=True)
    try:
        segment = _wait_until_ready(gateway, segment_path(str(directory), str(directory / "state")), stop)
        if segment is not None:
            print(_greeting(listen, config), flush=True)
            _watch(segment, gateway, stop)
        elif gateway.poll() is not None:
            return gateway.returncode
    finally:
        if gateway.poll() is None:
            gateway.send_signal(signal.SIGTERM)
        gateway.wait()
        upstream.shutdown()
        upstream.server_close()
        shutil.rmtree(directory, ignore_errors=True)
    return 0 if stop.is_set() else 1


def _wait_until_ready(gateway: subprocess.Popen[bytes], path: str, stop: threading.Event) -> Segment | None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while gateway.poll() is None and not stop.is_set() and time.monotonic() < deadline:
        try:
            segment = Segment.open(path)
            if all(segment.worker(index)["state"] == WorkerState.READY for index in (0, 1)):
                return segment
        except (FileNotFoundError, SegmentError):
            pass
        time.sleep(0.05)
    return None


def _greeting(listen: str, config: Path) -> str:
    url = f"http://{listen}/v1/forecast"
    lines = [
        "",
        f"Serving a paid API at {url}, $0.001 a call. The configuration: {config}",
        "Try it from another terminal:",
        "",
    ]
    for status, remark, key in (
        (200, "a rich account", RICH),
        (402, "money for two calls: the third one is refused", POOR),
        (429, "one call at a time, then one every 6 s", SLOW),
        (401, "a revoked key", REVOKED),
    ):
        lines += [f"  # {status}: {remark}", f"  curl -i {url} -H 'Authorization: Bearer {key}'", ""]
    lines += ["  # 401: no key at all", f"  curl -i {url}", "", "Ctrl-C ends it and leaves nothing behind.", ""]
    return "\n".join(lines)


def _watch(segment: Segment, gateway: subprocess.Popen[bytes], stop: threading.Event) -> None:
    """One line of what is being decided: rewritten in place on a terminal, else printed when it changes."""
    live = sys.stdout.isatty()
    last = ""
    while not stop.wait(REFRESH_S) and gateway.poll() is None:
        line = status_line(segment)
        if line != last:
            print(f"\r\x1b[K{line}" if live else line, end="" if live else "\n", flush=True)
            last = line
    if live:
        print()


def status_line(segment: Segment) -> str:
    """What has been decided so far: calls by status, the median of the decisions, what the rich account has left."""
    counts: dict[str, int] = {}
    for slot in range(-1, len(segment.routes())):
        totals = [
            sum(column)
            for column in zip(*(segment.counters(w, slot) for w in range(segment.worker_slots)), strict=True)
        ]
        for refusal, row in TABLE.items():
            counts[str(row.status)] = counts.get(str(row.status), 0) + totals[refusal]
        for hundreds in range(2, 6):
            counts[f"{hundreds}xx"] = counts.get(f"{hundreds}xx", 0) + totals[ANSWER_CLASS + hundreds]
        counts["in all"] = counts.get("in all", 0) + sum(totals[: max(Refusal) + 1])
    shown = [f"{counts.pop('in all')} decided"]
    shown += [f"{status}: {number}" for status, number in sorted(counts.items()) if number]
    histogram = [
        sum(column) for column in zip(*(segment.histogram(w, 0) for w in range(segment.worker_slots)), strict=True)
    ]
    if sum(histogram):
        shown.append(f"median {_median_us(histogram):.0f} µs")
    rich = segment.account(segment.account_numbers()[account_digest("rich")])
    shown.append(f"rich has ${format_money(rich['granted'] - rich['committed'])} left")
    return " · ".join(shown)


def _median_us(histogram: list[int]) -> float:
    half = sum(histogram) / 2
    bucket = next(bucket for bucket, total in enumerate(accumulate(histogram)) if total >= half)
    return float(2 ** (bucket // 4) * (5 + bucket % 4) / 4)

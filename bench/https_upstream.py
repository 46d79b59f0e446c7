"""Decides what an upstream over TLS costs beside a plain one: ``python bench/https_upstream.py [--rounds N]``.

CPU per proxied request of fastgw's worker and of nginx, each forwarding to the same nginx kept alive, plain and over
TLS 1.3 with verification: in one run, pinned alike, turn by turn. Prints medians; judges nothing.
"""

import argparse
import contextlib
import re
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from cases import CONNECTIONS, REQUEST_BODY, UPSTREAM_BODY
from cpu import behind, cpu_ns, tree
from field import LOAD_CPU, SERVER_CPU
from processes import Process, free_port

KEY = "sk-bench-https-0001"
WAYS = ("plain", "tls")

UPSTREAM = """
daemon off; worker_processes 1; pid {at}/up.pid; error_log {at}/up.log crit;
events {{ worker_connections 4096; }}
http {{
    access_log off; keepalive_requests 1000000000; client_body_temp_path {at}/up-body;
    proxy_temp_path {at}/up-p; fastcgi_temp_path {at}/up-f; scgi_temp_path {at}/up-s; uwsgi_temp_path {at}/up-u;
    ssl_certificate {at}/tls.crt; ssl_certificate_key {at}/tls.key; ssl_protocols TLSv1.3;
    server {{
        listen 127.0.0.1:{plain}; listen 127.0.0.1:{tls} ssl; default_type application/json;
        location / {{ return 200 '{body}'; }}
    }}
}}
"""

NGINX = """
daemon off; worker_processes 1; pid {at}/px.pid; error_log {at}/px.log crit;
events {{ worker_connections 4096; }}
http {{
    access_log off; keepalive_requests 1000000000; client_body_temp_path {at}/px-body;
    proxy_temp_path {at}/px-p; fastcgi_temp_path {at}/px-f; scgi_temp_path {at}/px-s; uwsgi_temp_path {at}/px-u;
    proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_ssl_verify on; proxy_ssl_protocols TLSv1.3;
    proxy_ssl_trusted_certificate {at}/tls.crt; proxy_ssl_name bench.example;
    upstream plain {{ server 127.0.0.1:{plain}; keepalive 256; keepalive_requests 1000000000; }}
    upstream tls {{ server 127.0.0.1:{tls}; keepalive 256; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{nginx};
        location /plain/ {{ proxy_pass http://plain; }}
        location /tls/ {{ proxy_pass https://tls; }}
    }}
}}
"""

FASTGW = """
[server]
listen = "127.0.0.1:{fastgw}"
admin = "off"
workers = 1
state_dir = "{at}/state"
segment_dir = "{at}"
[[upstreams]]
name = "plain"
targets = ["http://127.0.0.1:{plain}"]
[[upstreams]]
name = "tls"
targets = ["https://127.0.0.1:{tls}"]
tls = {{ ca = "{at}/tls.crt" }}
[[routes]]
name = "plain"
path = "/plain/"
upstream = "plain"
price = "0.001"
[[routes]]
name = "tls"
path = "/tls/"
upstream = "tls"
price = "0.001"
[[accounts]]
name = "rich"
balance = "1000000"
[[keys]]
account = "rich"
key = "{key}"
"""

WRK = """
wrk.method = "POST"
wrk.body = [==[{body}]==]
wrk.headers["Authorization"] = "Bearer {key}"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Accept"] = "application/json"
wrk.headers["User-Agent"] = "bench/1.0"
"""


def certificate(at: Path) -> None:
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=bench"
    names = [
        "-addext",
        "subjectAltName=IP:127.0.0.1,DNS:bench.example",
        "-keyout",
        str(at / "tls.key"),
        "-out",
        str(at / "tls.crt"),
    ]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)


def us_per_request(pid: int, url: str, seconds: int, at: Path) -> float:
    """CPU microseconds of one process a request, over one run of wrk."""
    argv = [
        "taskset",
        "-c",
        str(LOAD_CPU),
        "wrk",
        "-t1",
        f"-c{CONNECTIONS}",
        f"-d{seconds}s",
        "-s",
        str(at / "wrk.lua"),
    ]
    before = cpu_ns(pid)
    said = subprocess.run([*argv, url], check=True, capture_output=True, text=True, timeout=seconds + 30).stdout
    spent = cpu_ns(pid) - before
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(said)
    found = re.search(r"(\d+) requests in", said)
    if found is None:
        raise RuntimeError(said)
    return spent / 1000 / int(found[1])


def main() -> int:
    parser = argparse.ArgumentParser(description="CPU of a proxied request to an HTTPS upstream beside a plain one.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of each run")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="fastgw-https-", dir="/dev/shm") as directory,
        contextlib.ExitStack() as stack,
    ):
        at = Path(directory)
        certificate(at)
        names = {"at": at, "key": KEY, **{name: free_port() for name in (*WAYS, "nginx", "fastgw")}}
        (at / "up.conf").write_text(UPSTREAM.format(**names, body=UPSTREAM_BODY.decode()))
        (at / "px.conf").write_text(NGINX.format(**names))
        (at / "fastgw.toml").write_text(FASTGW.format(**names))
        (at / "wrk.lua").write_text(WRK.format(**names, body=REQUEST_BODY.decode()))
        fastgw = [str(Path(sys.executable).parent / "fastgw"), "serve", "-c", str(at / "fastgw.toml")]
        started = {}
        for name, argv, cpu, ports in (
            ("upstream", ["nginx", "-c", str(at / "up.conf")], LOAD_CPU, {names["plain"], names["tls"]}),
            ("nginx", ["nginx", "-c", str(at / "px.conf")], SERVER_CPU, {names["nginx"]}),
            ("fastgw", fastgw, SERVER_CPU, {names["fastgw"]}),
        ):
            process = stack.enter_context(Process(argv, {cpu}, at / f"{name}.out"))
            process.wait_ready({int(str(port)) for port in ports})
            started[name] = process
        for name in ("nginx", "fastgw"):
            for way in WAYS:
                request = urllib.request.Request(f"http://127.0.0.1:{names[name]}/{way}/x")
                request.add_header("Authorization", f"Bearer {KEY}")
                urllib.request.urlopen(request, timeout=30).read()  # waits until somebody serves
        pids = {
            "fastgw": min(behind(started["fastgw"].pid, "fastgw.worker")),
            "nginx": max(tree(started["nginx"].pid)),
        }
        figures: dict[tuple[str, str], list[float]] = {}
        for turn in range(given.rounds + 1):
            for name, pid in pids.items():
                for way in WAYS:
                    url = f"http://127.0.0.1:{names[name]}/{way}/x"
                    us = us_per_request(pid, url, given.seconds, at)
                    if turn:  # the first run of each is for warming up
                        figures.setdefault((name, way), []).append(us)
        for name in pids:
            plain, tls = (statistics.median(figures[name, way]) for way in WAYS)
            print(f"{name:8} plain {plain:5.1f} µs   TLS {tls:5.1f} µs   {tls - plain:+.1f} µs a request")
    return 0


if __name__ == "__main__":
    sys.exit(main())

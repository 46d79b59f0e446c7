"""Decides how fastgw takes part: everything on, keys and accounts in its own files, one state directory per
start."""

import json
import sys
from pathlib import Path

from cases import PRICE, keys
from processes import free_port

from peers.base import Launch, Peer, Site, output_of

BALANCE = {"empty": "0", "rich": "1000000.00", "limited": "1000000.00"}

TLS = 'tls_certificate = "{certificate}"\ntls_key = "{certificate}"'

CONFIG = """
[server]
listen = "127.0.0.1:{port}"
{tls}
admin = "127.0.0.1:{admin_port}"
segment_dir = "{memory_directory}"
keys_file = "{directory}/keys.jsonl"
accounts_file = "{directory}/accounts.jsonl"

[[upstreams]]
name = "service"
targets = ["http://127.0.0.1:{upstream_port}"]

[[routes]]
name = "api"
path = "/v1/"
upstream = "service"
price = "{price}"
rate = "1000000/s"
burst = 1000000
"""


class Fastgw(Peer):
    name = "fastgw"
    title = "fastgw, everything on"
    checks = "key, limits, hold and capture, ledger, call log, counters, deadlines, request id"
    modes = frozenset({"402", "429", "401", "proxy"})
    install = "pip install -e ."

    def program(self) -> Path | None:
        program = Path(sys.executable).parent / "fastgw"
        return program if program.exists() else None

    def version(self) -> str:
        program = self.program()
        return output_of(program, "--version") if program else ""

    def prepare(self, site: Site) -> Launch:
        with (
            (site.directory / "keys.jsonl").open("w") as keys_file,
            (site.directory / "accounts.jsonl").open("w") as accounts_file,
        ):
            for key, kind in keys(site.population):
                account = f"account-{key[-7:]}"
                accounts_file.write(json.dumps({"name": account, "balance": BALANCE[kind]}) + "\n")
                record: dict[str, str | int] = {"account": account, "key": key}
                if kind == "limited":
                    record |= {"rate": "1/h", "burst": 1}
                keys_file.write(json.dumps(record) + "\n")
        port, admin_port = free_port(), free_port()
        config = site.directory / "fastgw.toml"
        config.write_text(
            CONFIG.format(
                port=port,
                tls=TLS.format(certificate=site.certificate) if site.certificate else "",
                admin_port=admin_port,
                directory=site.directory,
                memory_directory=site.memory_directory,
                upstream_port=site.upstream_port,
                price=PRICE,
            )
        )
        argv = [str(self.program()), "serve", "-c", str(config), "--workers", str(site.workers)]
        argv += ["--state-dir", str(site.directory / "state")]
        return Launch(argv, dict.fromkeys(self.modes, port), admin_port=admin_port, behind="fastgw.keeper")

"""Decides how HAProxy takes part: keys in a map, calls counted per key in a stick table, refused or
forwarded."""

from pathlib import Path

from cases import PROBLEM_JSON, REFUSALS, keys
from processes import free_port

from peers.base import Launch, Peer, Site, on_path, output_of

CONFIG = """
global
    nbthread {workers}
    maxconn 8192
defaults
    mode http
    timeout client 3600s
    timeout server 3600s
    timeout connect 5s
    timeout http-request 60s
    timeout http-keep-alive 3600s
    http-reuse always
frontend api
    bind 127.0.0.1:{port}
    stick-table type string len 48 size {table_size} expire 2h store http_req_rate(1h),gpc0
    http-request set-var(txn.kind) req.hdr(authorization),word(2,' '),map({directory}/keys.map)
    {refuse_401} unless {{ var(txn.kind) -m found }}
    http-request track-sc0 req.hdr(authorization),word(2,' ')
    {refuse_429} if {{ var(txn.kind) -m str limited }} {{ sc_http_req_rate(0) gt 1 }}
    {refuse_402} if {{ var(txn.kind) -m str empty }} {{ sc_get_gpc0(0) ge 0 }}
    http-request sc-inc-gpc0(0)
    option forwardfor
    default_backend service
backend service
    server upstream 127.0.0.1:{upstream_port} pool-max-conn 512
"""


def _refuse(mode: str, directory: Path) -> str:
    """The rule that answers one refusal; its condition follows."""
    refusal = REFUSALS[mode]
    fields = " ".join(f"hdr {name} '{value}'" for name, value in refusal.headers)
    body = directory / f"refusal-{mode}"
    return f"http-request return status {refusal.status} content-type {PROBLEM_JSON} file {body} {fields}"


class Haproxy(Peer):
    name = "haproxy"
    title = "HAProxy stick table"
    checks = "key in a map, calls counted in a stick table; no balance"
    modes = frozenset({"402", "429", "401", "proxy"})
    install = "apt-get install haproxy"

    def program(self) -> Path | None:
        return on_path("haproxy")

    def version(self) -> str:
        program = self.program()
        return output_of(program, "-v").split()[2] if program else ""

    def prepare(self, site: Site) -> Launch:
        with (site.directory / "keys.map").open("w") as file:
            file.writelines(f"{key} {kind}\n" for key, kind in keys(site.population))
        for mode, refusal in REFUSALS.items():
            (site.directory / f"refusal-{mode}").write_bytes(refusal.body)
        port = free_port()
        config = site.directory / "haproxy.cfg"
        config.write_text(
            CONFIG.format(
                workers=site.workers,
                port=port,
                table_size=max(1024, 2 * site.population),
                directory=site.directory,
                **{f"refuse_{mode}": _refuse(mode, site.directory) for mode in REFUSALS},
                upstream_port=site.upstream_port,
            )
        )
        return Launch([str(self.program()), "-db", "-f", str(config)], dict.fromkeys(self.modes, port))

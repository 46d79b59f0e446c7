"""Decides what TLS costs: refused and forwarded calls on kept connections, and full handshakes, beside nginx.

All have one certificate (ECDSA, P-256) and leave protocol and cipher to OpenSSL's defaults; what they agree on with
the client is part of the result.
"""

import socket
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import report
from cases import HANDSHAKE, Case
from field import Field
from handshakes import insecure
from peers import Peer
from rounds import Sample, run_rounds

PEERS = ("fastgw", "nginx-lua", "nginx")
MODES = ("402", "proxy", HANDSHAKE)


@dataclass(frozen=True)
class Agreed:
    """What a contender and a client with OpenSSL's defaults speak: "TLSv1.3", "TLS_AES_256_GCM_SHA384"."""

    peer: str
    version: str
    cipher: str

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def run_tls(
    peers: list[Peer], ground: Field, rounds: int, seconds: float, say: Callable[[str], None]
) -> tuple[list[Agreed], list[Sample]]:
    certificate = _certificate(ground.directory)
    contenders = []
    for peer in peers:
        try:
            contenders.append(ground.start(peer, certificate=certificate))
        except RuntimeError as error:
            say(f"TLS: {peer.name} is out: {error}")
    agreed = [_agreed(contender.peer.name, contender.port("402")) for contender in contenders]
    cases = [Case(mode, "fresh", secure=True) for mode in MODES]
    samples = run_rounds(contenders, cases, ground, rounds, seconds, say)
    for contender in contenders:
        contender.process.stop()
    return agreed, samples


def tls_section(cells: report.Cells, agreed: list[Agreed]) -> str:
    """Tables of costs and of targets, and what was spoken."""
    targets = [_target(cells, "402", "nginx-lua", 1.05), _target(cells, "proxy", "nginx-lua", 1.05)]
    targets.append(_target(cells, HANDSHAKE, "nginx", 1.50))
    spoken = sorted({f"{one.version} with {one.cipher}" for one in agreed})
    which = f"All speak {spoken[0]}." if len(spoken) == 1 else f"They do not speak the same: {', '.join(spoken)}."
    parts = [report.main_table(cells), which, report.books(cells)]
    if "fastgw" in {peer for by_peer in cells.values() for peer in by_peer}:
        parts.append(report.target_table(targets))
    return "\n\n".join(filter(None, parts))


def _target(cells: report.Cells, mode: str, rival: str, limit: float) -> report.Target:
    what = "a full handshake and a refusal" if mode == HANDSHAKE else f"{mode}, kept alive"
    own = cells.get((mode, "fresh"), {}).get("fastgw")
    return report.Target(f"TLS, {what}: fastgw / {rival}", limit, own.ratio.get(rival) if own else None)


def _certificate(directory: Path) -> Path:
    """A file with a certificate for localhost and its key. Raises RuntimeError with what openssl says."""
    file = directory / "certificate.pem"
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    argv += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    argv += ["-keyout", str(file), "-out", str(directory / "chain.pem")]
    result = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    if result.returncode != 0:
        raise RuntimeError(result.stderr)
    with file.open("a") as opened:
        opened.write((directory / "chain.pem").read_text())
    return file


def _agreed(peer: str, port: int) -> Agreed:
    with insecure().wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=10)) as stream:
        cipher = stream.cipher()
        return Agreed(peer, stream.version() or "", cipher[0] if cipher else "")

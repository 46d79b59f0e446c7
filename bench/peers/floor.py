"""Decides the floor: a bare loop on epoll that answers the bytes of a refusal and looks at nothing."""

from pathlib import Path

from cases import REFUSALS, refusal_answer
from processes import free_port

from peers.base import Launch, Peer, Site, on_path, output_of


class Floor(Peer):
    name = "floor"
    title = "bare C epoll responder"
    checks = "nothing; same bytes for every request"
    modes = frozenset(REFUSALS)
    install = "apt-get install gcc libc6-dev"

    def program(self) -> Path | None:
        return on_path("cc")

    def version(self) -> str:
        return output_of("cc", "--version").splitlines()[0]

    def prepare(self, site: Site) -> Launch:
        argv, ports = [str(site.floor_program), str(site.directory / "count")], {}
        for mode in REFUSALS:
            answer = site.directory / f"answer-{mode}"
            answer.write_bytes(refusal_answer(mode))
            ports[mode] = free_port()
            argv += [str(ports[mode]), str(answer)]
        return Launch(argv, ports)

"""Decides whether the code that is installed now could go on with what a running gateway has: asked before an upgrade.

Started by the supervisor as `python -m fastgw.probe SEGMENT CONFIG_FD NEXT_FD REPORT_FD HANDOVER`; never by hand. It
imports every process's code, opens the segment, reads the configuration anew from where the running one came from, and
writes it to NEXT_FD. REPORT_FD is told a Verdict. It changes nothing else.
"""

import os
import sys
from importlib import import_module
from typing import Any

import msgspec

PROCESSES = ("supervisor", "worker", "keeper")
COPY_BYTES = 1 << 20


def check(segment_path: str, config_fd: int, next_fd: int, handover: int) -> tuple[str, int]:
    """The version of this code and how many workers it is to run with. What is wrong is raised, by whatever class."""
    for name in PROCESSES:
        import_module(f"fastgw.{name}")
    from . import __version__
    from ._segment import Segment, SegmentError
    from .supervision.upgrade import HANDOVER_VERSION

    if handover != HANDOVER_VERSION:
        raise ValueError(f"version {__version__} cannot take over from the running one: restart instead")
    segment = Segment.open(segment_path)
    config, source = next_configuration(config_fd)
    names = {*segment.routes(), *(route.name for route in config.routes)}
    if len(names) > segment.capacity["routes_max"]:
        raise SegmentError(f"more than {segment.capacity['routes_max']} different routes since the segment was made")
    _write(config, source, next_fd)
    return __version__, config.server.workers


def next_configuration(config_fd: int) -> tuple[Any, Any]:
    """The configuration to go on with and its source: read anew, but for the settings that need a restart.

    The running one may have been published by another version: only those settings of it are looked at.
    """
    from .config.changes import reload_report
    from .config.load import read_again
    from .model import Listener
    from .published import Source
    from .settings import SETTINGS

    size = os.fstat(config_fd).st_size
    running, where = msgspec.msgpack.decode(os.pread(config_fd, size, 0))
    source = msgspec.convert(where, Source)
    loaded = read_again(source)
    fixed = [row.attribute for row in SETTINGS if not row.reloadable and row.attribute in running["server"]]
    server = msgspec.structs.replace(loaded.config.server, **{name: running["server"][name] for name in fixed})
    listeners = tuple(msgspec.convert(row, Listener) for row in running.get("listeners", ()))
    listeners = listeners or (Listener(server.listen_address),)
    config = msgspec.structs.replace(loaded.config, server=server, listeners=listeners)
    reload_report(config, config)  # there is room in what was made at the start
    return config, msgspec.structs.replace(source, origins=dict(loaded.origins))


def _write(config: Any, source: Any, descriptor: int) -> None:
    from . import published

    made = published.publish(config, source)
    offset = 0
    while part := os.pread(made, COPY_BYTES, offset):
        offset += os.pwrite(descriptor, part, offset)
    os.close(made)


def main(argv: list[str]) -> int:
    segment_path, config_fd, next_fd, report_fd, handover = argv[0], *map(int, argv[1:5])
    from .channel import shortened
    from .supervision.upgrade import Verdict

    try:
        version, workers = check(segment_path, config_fd, next_fd, handover)
        verdict = Verdict((), version, workers)
    except Exception as error:
        name = "" if type(error).__module__.startswith("fastgw.") else f"{type(error).__name__}: "
        verdict = Verdict(shortened(f"{name}{error}".splitlines()))
    with open(report_fd, "wb") as report:
        report.write(msgspec.msgpack.encode(verdict))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

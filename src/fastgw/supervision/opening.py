"""Decides which segment a gateway serves with: the one of its state directory if it fits, or a new one.

One that was made with other capacities gives what it knows to the ledger and the call log first. What is spent, and
whom it belongs to, is then in the ledger; only the state of rate limits begins anew.
"""

import glob
import os

from .. import _credentials, _idempotency, _targets, published
from .._segment import Segment, SegmentError
from ..instance import segment_path
from ..model import Config
from ..published import Source
from ..room import claim
from ..secret import read_secret
from .children import Process, how_it_ended, orphan, say

DRAINED = "ready"  # what a run of `draining` says when all is well


def open_segment(config: Config, source: Source) -> tuple[Segment, bool]:
    """The segment of this state directory, and whether it is new: one that is there is taken if it fits.

    Raises SegmentError or SecretError.
    """
    server = config.server
    path = segment_path(server.segment_dir, server.state_dir)
    secret = read_secret(server.state_dir)
    wanted = {
        "keys_max": server.keys_max,
        "accounts_max": server.accounts_max,
        "routes_max": server.routes_max,
        "journal_records": server.journal_records,
    }
    for file in glob.glob(f"{glob.escape(path)}.*"):
        if file.rpartition(".")[2].isdecimal():
            os.unlink(file)  # unfinished, of one that was killed while it made it; the directory's lock is ours
    try:
        segment = Segment.open(path)
    except FileNotFoundError:
        return _new_segment(path, secret, wanted, server.workers), True
    except OSError as error:
        raise SegmentError(f"cannot open the segment {path}: {error.strerror}; see --segment-dir") from None
    if not segment.same_boot:
        os.unlink(path)
        return _new_segment(path, secret, wanted, server.workers), True
    if not segment.keeps_secret(secret):
        raise SegmentError(
            f"the segment {path} was made with another secret than {server.state_dir}/secret: bring that back, or "
            "remove the segment, which forgets what has been spent"
        )
    _forget_tables(segment)
    if different := [name for name in wanted if segment.capacity[name] != wanted[name]]:
        _drain(segment, config, source, different)
        os.unlink(path)
        return _new_segment(path, secret, wanted, server.workers), True
    claim(segment, keys=0, accounts=0, workers=server.workers, routes=0)
    return segment, False


def _new_segment(path: str, secret: bytes, capacity: dict[str, int], workers: int) -> Segment:
    """A new one with room for the workers, or none: what is missing now would be a fault in a request later."""
    try:
        segment = Segment.create(path, secret=secret, **capacity)
    except OSError as error:
        raise SegmentError(f"cannot make the segment {path}: {error.strerror}; see --segment-dir") from None
    try:
        claim(segment, keys=0, accounts=0, workers=workers, routes=0)
        _forget_tables(segment)
    except SegmentError:
        os.unlink(path)
        raise
    return segment


def _forget_tables(segment: Segment) -> None:
    """Remove tables of an earlier boot, secret, segment or version: no worker will open them any more."""
    for kind, table in (("credentials", _credentials), ("idempotency", _idempotency), ("targets", _targets)):
        for file in glob.glob(f"{glob.escape(segment.path)}.{kind}-*"):
            if file != table.table_path(segment):
                os.unlink(file)


def _drain(segment: Segment, config: Config, source: Source, different: list[str]) -> None:
    """Have a run of the keeper take over all that the segment knows. Raises SegmentError, and all is as before."""
    made = ", ".join(f"{name} = {segment.capacity[name]}" for name in different)
    hint = f"start with {made}, with which it was made"
    for slot in range(segment.worker_slots):
        pid = segment.worker(slot)["pid"]
        if pid and orphan(pid, "fastgw.worker", str(slot), segment.path) is not None:
            raise SegmentError(f"the segment is still in use by worker {slot} (process {pid}): wait for it, or {hint}")
        segment.recover(slot)
    say(f"the segment was made with {made}: what it knows goes to the ledger, and it is made anew")
    config_fd = published.publish(config, source)
    report, write = os.pipe()
    try:
        process = Process.start("draining", (segment.path, config_fd, write), (config_fd, write))
    finally:
        os.close(write)
        os.close(config_fd)
    with open(report, "rb") as said:
        outcome = said.read().decode(errors="replace")
    end = how_it_ended(process.wait())
    if outcome != DRAINED or process.code:
        raise SegmentError(f"the segment {segment.path} cannot be made anew: {outcome or f'the keeper {end}'}; {hint}")

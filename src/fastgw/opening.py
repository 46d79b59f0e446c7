"""Decides which segment a gateway serves with: the one of its state directory if it fits, or a new one."""

import glob
import os

from ._segment import Segment, SegmentError
from .instance import segment_path
from .model import Config
from .room import claim
from .secret import read_secret


def open_segment(config: Config) -> tuple[Segment, bool]:
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
    for unfinished in glob.glob(f"{glob.escape(path)}.*"):
        os.unlink(unfinished)  # of one that was killed while it made it; the state directory's lock is ours
    try:
        segment = Segment.open(path)
    except FileNotFoundError:
        return _new_segment(path, secret, wanted, server.workers), True
    if not segment.same_boot:
        os.unlink(path)
        return _new_segment(path, secret, wanted, server.workers), True
    different = [f"{name} = {segment.capacity[name]}" for name in wanted if segment.capacity[name] != wanted[name]]
    if different:
        raise SegmentError(
            f"the segment {path} was made with {', '.join(different)}: start with the same, or remove the file, "
            "which forgets what has been spent"
        )
    if not segment.keeps_secret(secret):
        raise SegmentError(
            f"the segment {path} was made with another secret than {server.state_dir}/secret: bring that back, or "
            "remove the segment, which forgets what has been spent"
        )
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
    except SegmentError:
        os.unlink(path)
        raise
    return segment

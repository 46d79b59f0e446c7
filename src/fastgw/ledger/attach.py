"""Decides what the ledger makes of the segment it finds at a start: the one it knows, or another."""

from .._segment import Segment
from .entries import Entries
from .store import Store
from .writer import Turn

PENDING = "SELECT account FROM position WHERE captured > entered"


def attach(store: Store, segment: Segment, entries: Entries, now_ns: int) -> bool:
    """Let positions and meters speak of this segment; whether they did already.

    Of another one (the machine was started anew, or the file removed) everything known is entered, and positions begin
    at nothing. What the new segment's counters hold already then comes in like any captures: a ledger that is put back
    from a copy, or new, learns at least what was spent in the segment that is there.
    """
    known, drained = store.one("SELECT segment, drained FROM state")
    same = bool(known == segment.identity)
    turn = Turn(store, now_ns)
    store.begin()
    try:
        if not same:
            for (account,) in store.rows(PENDING):
                entries.enter(turn, account)
            store.execute("DELETE FROM position")
            store.execute("UPDATE meter SET base = base - captured, captured = 0")
            lost = known is not None and not drained
            store.execute(
                "UPDATE state SET segment = ?, losses = losses + ?, lost_at = iif(?, ?, lost_at)",
                (segment.identity, lost, lost, turn.now_s),
            )
        store.execute("UPDATE state SET drained = 0, commits = commits + 1")
        store.commit()
    except BaseException:
        store.rollback()
        raise
    return same

"""What the keeper does in the world of `model.py`, step by step: what it reads, what it enters, how it starts again."""

from model import KEEPER, MONEY, PLACES, Steps, World, capture, hold, recover_claims


def captures(w: World, seen: list[int], everything: bool) -> Steps:
    """`Segment.captures`, and the ledger's transaction with what it says."""
    dirty = False
    late = w.mutation == "cleared after it is read"
    for row in range(w.workers):
        yield "load dirty"
        if w.dirty[row]:
            dirty = True
            if not late:
                yield "swap dirty"
                w.dirty[row] = False
    if not dirty and not everything:
        return
    for place in PLACES:
        total = 0
        for row in range(w.workers):
            yield "load captured"
            total += w.captured[row][place]
        seen[place] = total
    if late:
        for row in range(w.workers):
            yield "store dirty"
            w.dirty[row] = False
    yield "commit"
    w.ledger.captured = list(seen)


def top_up(w: World, amount: int) -> Steps:
    """The money is there when the entry is durable."""
    if w.mutation == "granted before the entry":
        yield "store granted"
        w.granted[MONEY] += amount
    yield "commit"
    w.ledger.granted[MONEY] += amount
    if w.mutation != "granted before the entry":
        yield "store granted"
        w.granted[MONEY] = w.ledger.granted[MONEY]


def take_out(w: World, amount: int) -> Steps:
    """A negative entry: held first, then durable, then gone."""
    got: list[bool] = []
    if w.mutation == "entry before the money is held":
        yield "commit"
        w.ledger.taken[MONEY] += amount
    yield from hold(w, KEEPER, MONEY, amount, got)
    if not got[0]:
        return
    if w.mutation == "kept before the entry":
        yield from capture(w, KEEPER, MONEY, amount, amount)
    if w.mutation != "entry before the money is held":
        yield "commit"
        w.ledger.taken[MONEY] += amount
        w.held[KEEPER][MONEY] -= amount
    if w.mutation != "kept before the entry":
        yield from capture(w, KEEPER, MONEY, amount, amount)


def attach(w: World) -> Steps:
    """A keeper starts on a segment that another one has left: `take_recover`, then everything that is charged."""
    for place in PLACES:
        yield "store captured"
        w.captured[KEEPER][place] = w.ledger.taken[place]
    yield from recover_claims(w, KEEPER)
    for place in PLACES:
        yield "store granted"
        w.granted[place] = w.ledger.granted[place]
    yield from captures(w, [0, 0], True)


def keeper(w: World, duties: tuple[tuple[str, int], ...]) -> Steps:
    """One duty after the other: ("drain", 0), ("top up", nanos) or ("take", nanos)."""
    seen = [0, 0]
    for _number, (duty, amount) in enumerate(duties):
        if duty == "drain":
            yield from captures(w, seen, False)
        elif duty == "top up":
            yield from top_up(w, amount)
        else:
            yield from take_out(w, amount)


def new_keeper(w: World, duties: tuple[tuple[str, int], ...]) -> Steps:
    yield from attach(w)
    yield from keeper(w, duties)

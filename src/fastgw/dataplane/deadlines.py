"""Decides when something has taken too long: one coarse wheel per worker instead of a timer per request.

Arming is a store of an integer. An item stays where it is enlisted, and moves on only when its slot comes up and its
deadline has moved meanwhile; an item is therefore visited about once per timeout, not once per request.
"""

FAR_TICKS = 300  # beyond which nothing is enlisted: a slot keeps what is in it alive, ended or not


class Timed:
    """Something that can take too long. `deadline` is a tick of the wheel, 0 when nothing is awaited."""

    def __init__(self) -> None:
        self.deadline = 0
        self.enlisted = 0

    def on_deadline(self) -> None:
        """The deadline has passed."""
        raise NotImplementedError


class Wheel:
    """`turn` is to be called about once a tick, with the clock in milliseconds."""

    def __init__(self, clock_ms: int, tick_ms: int = 100) -> None:
        self.tick_ms = tick_ms
        self.tick = clock_ms // tick_ms
        self.slots: dict[int, list[Timed]] = {}

    def arm(self, item: Timed, after_ms: int) -> None:
        """Call `item.on_deadline` in `after_ms`, at most two ticks later, unless it is armed anew or disarmed."""
        deadline = self.tick + after_ms // self.tick_ms + 1
        item.deadline = deadline
        place = min(deadline, self.tick + FAR_TICKS)
        if item.enlisted == 0 or item.enlisted > place:
            self.enlist(item, place)

    def disarm(self, item: Timed) -> None:
        item.deadline = 0

    def enlist(self, item: Timed, tick: int) -> None:
        item.enlisted = tick
        slot = self.slots.get(tick)
        if slot is None:
            self.slots[tick] = [item]
        else:
            slot.append(item)

    def turn(self, clock_ms: int) -> None:
        """Visit every slot up to now. An item whose deadline has moved goes to its new slot."""
        now = clock_ms // self.tick_ms
        while self.tick < now:
            self.tick += 1
            for item in self.slots.pop(self.tick, ()):
                if item.enlisted != self.tick:
                    continue  # it was enlisted earlier since, and has been visited there
                item.enlisted = 0
                if item.deadline > self.tick:
                    self.enlist(item, min(item.deadline, self.tick + FAR_TICKS))
                elif item.deadline:
                    item.deadline = 0
                    item.on_deadline()

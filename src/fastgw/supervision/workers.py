"""Decides how many workers run, in which slots of the segment, and when one that goes may stop accepting.

One that goes hands its listening sockets on first: only when others are known to accept on each of them is it told to
retire. A slot is a place in the segment, no number of a socket: one is used again when its worker is gone.
"""

import os
import signal
import time
from collections.abc import Callable, Iterable

from msgspec import Struct

from .._idempotency import recover as free_calls
from .._segment import WORKERS, Segment, SegmentError
from .._targets import forget_worker, sweep
from ..channel import (
    DESCRIPTORS_MAX,
    Channel,
    ChannelError,
    Closed,
    Configured,
    Listen,
    Listening,
    Message,
    Retire,
    TagAnswer,
    Targets,
    Unlisten,
    WantTag,
)
from ..room import STEP, claim
from ..states import WorkerState
from .children import Child, Process, how_it_ended, orphan, say
from .events import Events
from .listeners import Listeners
from .watchdog import Watchdog

EARLY_DEATHS_MAX = 5  # of one worker in a row, at start, before it was ever ready
KILL_AFTER_S = 5.0  # beyond the drain timeout
ROOM_AT_ONCE = 8  # workers that go to make room for younger ones, where all slots are taken
START_S = 30.0  # in which the loop of a worker must turn
CHECK_S = 1.0  # between looks at what tells nobody when it changes


class StartError(Exception):
    """The gateway could not start; the message says why."""


class Shared(Struct):
    """What every child is started with; `generation` counts the configurations that have been published.

    `roster_fd` is the newest roster, -1 until the keeper has told one.
    """

    segment: Segment
    config_fd: int
    lifeline: int
    lock: int
    drain_ms: int
    watchdog_ms: int
    generation: int = 0
    roster_fd: int = -1

    def take_roster(self, descriptor: int) -> None:
        """It is the newest from now on."""
        if self.roster_fd >= 0:
            os.close(self.roster_fd)
        self.roster_fd = descriptor


class HandedWorker(Struct, frozen=True):
    """A worker as one program hands it to the next; `kill_at` is of the monotonic clock."""

    slot: int
    own: int
    pid: int
    channel: int
    told: tuple[int, ...]
    accepts: tuple[int, ...]
    leaving: bool
    outdated: bool
    kill_at: float


class Worker(Child):
    """The worker of one slot."""

    def __init__(self, slot: int, own: int) -> None:
        super().__init__(f"worker {slot}")
        self.slot = slot
        self.own = own  # its row of the listeners, -1 when it is outdated
        self.told: set[int] = set()  # what it has been told to accept on
        self.accepts: set[int] = set()  # what it has said that it accepts on
        self.generation = 0  # of the configuration that it was given last
        self.astray = False  # it has not been sent the newest roster yet
        self.outdated = False  # to be replaced by a younger one
        self.leaving = False  # to be gone as soon as others accept on what it accepts on; then `kill_at` is set

    @property
    def stays(self) -> bool:
        return not self.outdated and not self.leaving


class Workers:
    """All of them; `step` does what is due."""

    def __init__(self, shared: Shared, listeners: Listeners, events: Events, number: int) -> None:
        self.shared = shared
        self.listeners = listeners
        self.events = events
        self.number = number
        self.by_slot: dict[int, Worker] = {}
        self.watchdog = Watchdog(START_S)
        self.started = False  # until then, one that dies again and again ends the start
        self.on_configured: Callable[[Worker, Configured], None] = lambda *_: None
        self.on_death: Callable[[Worker, str], None] = lambda *_: None
        self.on_want: Callable[[WantTag], None] = lambda _: None

    @property
    def current(self) -> list[Worker]:
        """Those that are to stay."""
        return [worker for worker in self.by_slot.values() if worker.stays]

    @property
    def ready(self) -> bool:
        """Whether as many as wanted serve."""
        return sum(bool(worker.accepts) for worker in self.current) >= self.number

    @property
    def settled(self) -> bool:
        """Whether those that serve are those that are to stay."""
        return self.ready and len(self.by_slot) == self.number

    # How many

    def prepare(self, number: int) -> None:
        """Make sure that so many may run beside those that go. Raises SegmentError or OSError, and has changed nothing
        that matters."""
        missing = max(0, number - len(self.current))
        self._claim([*self.by_slot, *self._free_slots(missing)])
        self.listeners.grow(number)

    def prepare_to_replace(self, number: int) -> None:
        """`prepare`, for so many others beside all that there are now."""
        self._claim([*self.by_slot, *self._free_slots(number)])
        self.listeners.grow(number)

    def _free_slots(self, number: int) -> list[int]:
        return [slot for slot in range(WORKERS) if slot not in self.by_slot][:number]

    def _claim(self, slots: Iterable[int]) -> None:
        segment = self.shared.segment
        accounts = min(segment.capacity["accounts_max"], segment.account_count + STEP)
        claim(segment, keys=0, accounts=accounts, workers=max(slots, default=-1) + 1, routes=0)

    def replace(self, worker: Worker) -> None:
        """Start a younger one, and let this one go when that serves."""
        worker.outdated = True
        worker.own = -1

    def handed(self) -> tuple[HandedWorker, ...]:
        """All of them, for `adopt` in the program that takes over."""
        return tuple(
            HandedWorker(
                worker.slot, worker.own, worker.process.pid, worker.channel.fileno(), tuple(worker.told),
                tuple(worker.accepts), worker.leaving, worker.outdated, worker.kill_at,
            )
            for worker in self.by_slot.values()
            if worker.process is not None and worker.channel is not None
        )  # fmt: skip

    def adopt(self, handed: HandedWorker) -> None:
        """Go on with a worker that another program has started."""
        worker = self.by_slot[handed.slot] = Worker(handed.slot, handed.own)
        worker.process = Process(handed.pid)
        worker.told = set(handed.told)
        worker.accepts = set(handed.accepts)
        worker.leaving, worker.outdated, worker.kill_at = handed.leaving, handed.outdated, handed.kill_at
        self.join(worker, Channel.inherited(handed.channel, blocking=False))

    def find_orphans(self) -> None:
        """Let workers of a supervisor that was killed finish, in the slots that they have; clear the other slots."""
        segment = self.shared.segment
        for slot in range(segment.worker_slots):
            pid = segment.worker(slot)["pid"]
            process = orphan(pid, "fastgw.worker", str(slot), segment.path) if pid else None
            if process is None:
                self.recover(slot)
                continue
            worker = self.by_slot[slot] = Worker(slot, -1)
            worker.process = process
            worker.leaving = worker.outdated = True
            worker.kill_at = time.monotonic() + self.shared.drain_ms / 1000 + KILL_AFTER_S

    # What is due

    def step(self) -> float:
        """Do what is due; in how many seconds there may be more, if nothing happens before."""
        for worker in list(self.by_slot.values()):
            if worker.process is not None and worker.process.poll() is not None:
                self._bury(worker)
        self._dismiss()
        self._engage()
        self._watch()
        now = time.monotonic()
        waits = [CHECK_S, self.shared.watchdog_ms / 4000 or CHECK_S]
        for worker in list(self.by_slot.values()):
            if worker.process is None:
                if now >= worker.retry_at:
                    self._spawn(worker)
                else:
                    waits.append(worker.retry_at - now)
        self._assign()
        self._guide()
        for worker in self.by_slot.values():
            if worker.kill_at and worker.process is not None:
                if now >= worker.kill_at:
                    say(f"{worker.name} did not end; killing it")
                    worker.process.signal(signal.SIGKILL)
                    worker.kill_at = now + KILL_AFTER_S
                waits.append(worker.kill_at - now)
        return max(0.0, min(waits))

    def _watch(self) -> None:
        """Have those end that hang."""
        segment, limit_s = self.shared.segment, self.shared.watchdog_ms / 1000
        living = {worker.process.pid: worker for worker in self.by_slot.values() if worker.process is not None}
        beats = {pid: worker.beat_of(segment.worker(worker.slot)["beat_ns"]) for pid, worker in living.items()}
        for pid in self.watchdog.look(beats, limit_s):
            living[pid].abort(limit_s)

    def _dismiss(self) -> None:
        """Have those leave that are too many, and the outdated ones that are not needed any more."""
        current = self.current
        for worker in sorted(current, key=lambda worker: worker.own)[self.number :]:
            worker.leaving = True
        if self.ready:
            for worker in self.by_slot.values():
                worker.leaving = worker.leaving or worker.outdated
        elif len(self.by_slot) == WORKERS and not any(worker.leaving for worker in self.by_slot.values()):
            # No slot is free for a younger one: some of the old ones go first, and leave their sockets to the others.
            outdated = [worker for worker in self.by_slot.values() if worker.outdated]
            for worker in outdated[: len(outdated) // 2 or 1][:ROOM_AT_ONCE]:
                worker.leaving = True

    def _engage(self) -> None:
        missing = self.number - len(self.current)
        for slot in self._free_slots(missing):
            own = self.listeners.free(worker.own for worker in self.current)
            self.by_slot[slot] = Worker(slot, own)

    def _spawn(self, worker: Worker) -> None:
        shared = self.shared
        channel, end = Channel.pair()
        worker.told = self._wanted(worker)
        worker.accepts = set()
        worker.generation = shared.generation
        shared.segment.worker_set(worker.slot, 0, WorkerState.STARTING)  # before it can say that it is ready
        arguments = (worker.slot, shared.segment.path, shared.config_fd, shared.lifeline, shared.lock, end.fileno())
        try:
            worker.started_at = time.monotonic()
            inherited = (shared.config_fd, shared.lifeline, shared.lock, end.fileno())
            worker.process = Process.start("worker", arguments, inherited)
        finally:
            end.close()
        if shared.roster_fd >= 0:
            channel.send(Targets(), [shared.roster_fd])
        worker.astray = False
        self._listen(channel, worker.told)
        self.join(worker, channel)

    def _listen(self, channel: Channel, sockets: Iterable[int]) -> None:
        numbers = sorted(sockets)
        for first in range(0, len(numbers), DESCRIPTORS_MAX):
            some = numbers[first : first + DESCRIPTORS_MAX]
            channel.send(Listen(tuple(some), self.listeners.doors(some)), self.listeners.descriptors(some))

    def join(self, worker: Worker, channel: Channel) -> None:
        """Hear what the worker says."""
        worker.channel = channel
        self.events.attend(channel, lambda: self._hear(worker, channel))

    def retarget(self, descriptor: int) -> None:
        """Tell all of them the newest roster; one that does not listen just now gets the newest of then."""
        self.shared.take_roster(descriptor)
        sweep(self.shared.segment)
        for worker in self.by_slot.values():
            worker.astray = True
        self._guide()

    def _guide(self) -> None:
        if self.shared.roster_fd < 0:
            return
        for worker in self.by_slot.values():
            if worker.astray and worker.channel is not None and not worker.channel.waiting:
                worker.channel.send(Targets(), [self.shared.roster_fd])
                worker.astray = False

    def _hear(self, worker: Worker, channel: Channel) -> None:
        try:
            while (received := channel.receive()) is not None:
                self._heed(worker, received[0])
        except Closed:
            self.events.forget(channel.fileno())  # it ends, or has ended: its process tells
        except ChannelError as error:
            say(f"{worker.name} said what is not understood: {error}")

    def _heed(self, worker: Worker, message: Message) -> None:
        if isinstance(message, Listening):
            worker.accepts = set(message.listeners)
            worker.early_deaths = 0
        elif isinstance(message, Configured):
            self.on_configured(worker, message)
        elif isinstance(message, WantTag):
            self.on_want(message)

    def tell_tag(self, message: TagAnswer) -> None:
        """To the worker that has asked, if it is there still; or to another one in its place, which knows not of it."""
        worker = self.by_slot.get(message.worker)
        if worker is not None and worker.channel is not None:
            worker.channel.send(message)

    # Who accepts on what

    def _wanted(self, worker: Worker) -> set[int]:
        """What a worker that stays is to accept on: its own, and what is nobody's or everybody's."""
        owned = {other.own for other in self.current if other is worker or not other.pausing}
        return self.listeners.wanted(worker.own, owned)

    def _assign(self) -> None:
        """Tell workers what to accept on; one that is to stop accepting, when others are known to do."""
        staying = [worker for worker in self.by_slot.values() if not worker.leaving]
        wanted = {worker.slot: self._wanted(worker) if worker.stays else set(worker.told) for worker in staying}
        if not self.current and staying:
            wanted[staying[0].slot] = self.listeners.numbers
        for worker in staying:
            if worker.channel is not None and (more := wanted[worker.slot] - worker.told):
                worker.told |= more
                self._listen(worker.channel, more)
        for worker in self.by_slot.values():
            if worker.kill_at or worker.channel is None:
                continue
            held = [other.accepts & wanted[other.slot] for other in staying if other is not worker]
            fewer = (worker.told - wanted.get(worker.slot, set())) & set().union(*held)
            if worker.leaving:
                if fewer == worker.told:
                    self._retire(worker)
            elif fewer:
                worker.told -= fewer
                worker.channel.send(Unlisten(tuple(sorted(fewer))))

    def _retire(self, worker: Worker) -> None:
        worker.kill_at = time.monotonic() + self.shared.drain_ms / 1000 + KILL_AFTER_S
        if worker.channel is not None:
            worker.channel.send(Retire())

    # The end of one

    def _bury(self, worker: Worker) -> None:
        assert worker.process is not None
        end = how_it_ended(worker.process.poll() or 0)
        early = not worker.accepts
        self.recover(worker.slot)
        self.part(worker)
        self.on_death(worker, end)
        if not worker.stays:
            if not worker.kill_at or worker.process.code:
                say(f"{worker.name}, which was to go, {end}")
            del self.by_slot[worker.slot]
            return
        pause_s = worker.ended(early)
        if worker.early_deaths >= EARLY_DEATHS_MAX and not self.started:
            raise StartError(f"{worker.name} {end}, for the {EARLY_DEATHS_MAX}th time in a row before it was ready")
        say(f"{worker.name} {end}; starting another" + (f" in {pause_s:.1f} s" if pause_s else ""))

    def part(self, worker: Worker) -> None:
        """Hear no more of it."""
        if worker.channel is not None:
            self.events.forget(worker.channel.fileno())
            worker.channel.close()
            worker.channel = None
        worker.told = set()
        worker.accepts = set()

    def recover(self, slot: int) -> None:
        """Give back what a worker that is gone held, before its slot is used again."""
        segment = self.shared.segment
        voided, surplus = segment.recover(slot)
        try:
            free_calls(segment, slot)
        except (SegmentError, OSError) as error:
            say(f"error: the idempotent calls of worker {slot} stay in flight: {error}")
        try:
            forget_worker(segment, slot)
        except (SegmentError, OSError) as error:
            say(f"error: what worker {slot} had in flight still counts at its targets: {error}")
        segment.worker_set(slot, 0, WorkerState.ABSENT)
        if voided or surplus:
            say(f"gave back what calls in flight held when worker {slot} died")

    def end(self) -> None:
        """Kill them all, and give back what they held."""
        for worker in self.by_slot.values():
            if worker.process is not None:
                worker.process.signal(signal.SIGKILL)
        for worker in self.by_slot.values():
            if worker.process is not None:
                worker.process.wait()
            self.part(worker)
            self.recover(worker.slot)
        self.by_slot.clear()

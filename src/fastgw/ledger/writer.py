"""Decides when the ledger is written: one thread, one transaction for all that waits, and what happens when it fails.

Every turn folds what workers have captured, and the jobs of whoever called, into one transaction; nobody is told of a
job before it is durable. When the disk fails, prepaid calls stop (`Segment.stop_money`) until a turn has succeeded.
"""

import contextlib
import os
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, Protocol, TypeVar

import apsw

from .._segment import Segment
from .errors import LedgerUnavailable
from .store import Store, StoreError, is_storage_failure

T = TypeVar("T")

TURN_S = 0.05
RETRY_S = 0.5
SLOW_S = 2.0  # a transaction that takes longer is a failure while it lasts
CALL_S = 10.0  # how long somebody waits for a job to be durable

STOPPED = "the ledger cannot be written ({}); prepaid calls are refused until it can"
UNKNOWN = "the ledger cannot be written now; whether this was carried out is not known: repeat it"


def say(message: str) -> None:
    print(f"fastgw: {message}", file=sys.stderr, flush=True)


class Turn:
    """One transaction, and what is to be done once it is durable, or once it is known that it never will be."""

    def __init__(self, store: Store, now_ns: int) -> None:
        self.store = store
        self.now_ns = now_ns
        self.effects: list[tuple[Callable[[], object] | None, Callable[[], object] | None]] = []

    @property
    def now_s(self) -> int:
        return self.now_ns // 1_000_000_000

    def then(self, done: Callable[[], object] | None, undo: Callable[[], object] | None = None) -> None:
        """Call `done` when the transaction is durable, in order, or else `undo`, in reverse."""
        self.effects.append((done, undo))

    def undo(self, back_to: int = 0) -> None:
        """Take back the effects from number `back_to` on."""
        while len(self.effects) > back_to:
            _, undo = self.effects.pop()
            if undo is not None:
                undo()


class Chore(Protocol):
    """Work that comes due by itself."""

    def due(self, now_ns: int) -> bool:
        """Whether there is something to do; cheap."""

    def run(self, turn: Turn) -> None:
        """Do a bounded part of it."""


class Job:
    """What somebody wants to be in a transaction, and the answer."""

    def __init__(self, work: Callable[[Turn], Any]) -> None:
        self.work = work
        self.future: Future[Any] = Future()


class Writer:
    """The only one to write the store and to read what workers captured.

    `fold` takes part in every transaction with what `Segment.captures` gave. `at` is called with the name of each step
    that a crash could follow; it is for tests. Before `start`, turns are taken by whoever calls.
    """

    def __init__(
        self,
        store: Store,
        segment: Segment,
        fold: Callable[[Turn, list[tuple[int, int]]], None],
        clock: Callable[[], int] = time.time_ns,
        at: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.store, self.segment, self.fold, self.clock, self.at = store, segment, fold, clock, at
        self.lock = threading.RLock()  # held over a transaction: who has it reads nothing unfinished
        self.chores: list[Chore] = []
        self.jobs: deque[Job] = deque()
        self.wake = threading.Event()
        self.ending = False
        self.threads: list[threading.Thread] = []
        self.attached = False  # the segment's records are known, so captures can be folded
        self.everything = True  # the next fold takes all captures, not only those that changed
        self.error = ""
        self.stopped = False
        self.retry_at = 0.0
        self.doubt: tuple[int, Turn] | None = None  # a commit that failed, and may be durable all the same
        self.since = 0.0  # when the transaction began, 0: none is open
        self.fresh_at = time.monotonic()  # all that was captured before is durable
        self.commits = 0

    # For everybody

    def call(self, work: Callable[[Turn], T]) -> T:
        """Do `work` in a transaction; its value once that is durable.

        Raises what `work` raises, or LedgerUnavailable.
        """
        if self.error:
            raise LedgerUnavailable(STOPPED.format(self.error))
        job = Job(work)
        self.jobs.append(job)
        if not self.threads:
            self.turn()
        self.wake.set()
        try:
            value: T = job.future.result(CALL_S)
            return value
        except FutureTimeout:
            job.future.cancel()
            raise LedgerUnavailable(UNKNOWN) from None

    def read(self, look: Callable[[Store], T]) -> T:
        """What `look` finds between two transactions. Raises LedgerUnavailable."""
        with self.lock:
            try:
                return look(self.store)
            except apsw.Error as error:
                if is_storage_failure(error):
                    raise LedgerUnavailable(f"the ledger cannot be read: {error}") from None
                raise

    @property
    def lag_ms(self) -> int:
        return int((time.monotonic() - self.fresh_at) * 1000)

    # The thread

    def start(self) -> None:
        """Take turns in a thread of its own from now on, and have another see to it that none takes too long."""
        self.ending = False
        for name, body in (("ledger", self._run), ("ledger-watch", self._watch)):
            self.threads.append(threading.Thread(target=body, daemon=True, name=name))
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        """End the threads; turns are again taken by whoever calls."""
        self.ending = True
        self.wake.set()
        for thread in self.threads:
            thread.join()
        self.threads.clear()

    def _run(self) -> None:
        try:
            while not self.ending:
                self.wake.wait(TURN_S)
                self.wake.clear()
                self.turn()
        except BaseException:
            # A mistake of ours: another keeper starts from what is durable.
            traceback.print_exc()
            self.segment.stop_money(True)
            os._exit(1)

    def _watch(self) -> None:
        while not self.ending:
            since = self.since
            if since and time.monotonic() - since > SLOW_S and not self.stopped:
                self._stop_money(f"a commit takes longer than {SLOW_S:.0f} s")
            time.sleep(TURN_S)

    # One turn

    def turn(self) -> None:
        """One transaction of what waits, if anything does."""
        with self.lock:
            jobs = [self.jobs.popleft() for _ in range(len(self.jobs))]
            jobs = [job for job in jobs if job.future.set_running_or_notify_cancel()]
            if self.error and not self._healed():
                for job in jobs:
                    job.future.set_exception(LedgerUnavailable(STOPPED.format(self.error)))
                return
            self._transact(jobs)

    def _transact(self, jobs: list[Job]) -> None:
        start = time.monotonic()
        now_ns = self.clock()
        chores = [chore for chore in self.chores if self.attached and chore.due(now_ns)]
        changed = self.segment.captures(self.everything) if self.attached else []
        if not (jobs or changed or chores or self.stopped):
            self.fresh_at = start
            return
        turn = Turn(self.store, now_ns)
        number = 0
        committing = False
        answers: list[Callable[[], None]] = []
        self.since = start
        try:
            self.store.begin()
            number = self.store.one("UPDATE state SET commits = commits + 1 RETURNING commits")[0]
            self.fold(turn, changed)
            answers = [self._work(turn, job) for job in jobs]
            for chore in chores:
                chore.run(turn)
            self.at("written")
            committing = True
            self.store.commit()
        except Exception as error:
            self.since = 0.0
            self.everything = True
            self._failed(error, turn, number if committing else 0, jobs)
            return
        self.since = 0.0
        self.commits = number
        if self.attached:
            self.everything = False
            self.fresh_at = start
        self.at("committed")
        self._carry_out(turn)
        if self.stopped:
            self._resume_money()
        for answer in answers:
            with contextlib.suppress(InvalidStateError):
                answer()
        if any(chore.due(now_ns) for chore in chores):
            self.wake.set()

    def _work(self, turn: Turn, job: Job) -> Callable[[], None]:
        """Do one job, which undoes itself when it fails; the answer, to be given when the turn is durable."""
        effects = len(turn.effects)
        self.store.execute("SAVEPOINT job")
        try:
            value = job.work(turn)
        except Exception as error:
            if is_storage_failure(error):
                raise
            self.store.execute("ROLLBACK TO job; RELEASE job")
            turn.undo(effects)
            problem = error
            return lambda: job.future.set_exception(problem)
        self.store.execute("RELEASE job")
        return lambda: job.future.set_result(value)

    def _carry_out(self, turn: Turn) -> None:
        for done, _ in turn.effects:
            if done is not None:
                done()
                self.at("told")

    # Failure

    def _failed(self, error: Exception, turn: Turn, number: int, jobs: list[Job]) -> None:
        """Leave a turn that could not be finished; `number` is that of a commit that was tried, or 0."""
        self.store.rollback()
        if number:
            self.doubt = (number, turn)
        else:
            turn.undo()
        for job in jobs:
            with contextlib.suppress(InvalidStateError):
                job.future.set_exception(LedgerUnavailable(UNKNOWN))
        if not is_storage_failure(error):
            raise error
        self._break(error)

    def _break(self, error: Exception) -> None:
        self.error = f"{type(error).__name__}: {error}"
        self.retry_at = time.monotonic() + RETRY_S
        self._stop_money(self.error)

    def _healed(self) -> bool:
        """Try the file anew, from nothing: what a failed sync has left in memory is not to be trusted."""
        if time.monotonic() < self.retry_at:
            return False
        self.since = time.monotonic()
        self.store.close()
        try:
            self.store.open()
            durable = self.store.commits
        except (apsw.Error, StoreError, OSError) as error:
            self._break(error)
            return False
        finally:
            self.since = 0.0
        if self.doubt is not None:
            number, turn = self.doubt
            self.doubt = None
            if durable >= number:
                self._carry_out(turn)
            else:
                turn.undo()
        self.error = ""
        return True

    def _stop_money(self, why: str) -> None:
        self.segment.stop_money(True)
        if not self.stopped:
            say(STOPPED.format(why))
        self.stopped = True

    def _resume_money(self) -> None:
        self.segment.stop_money(False)
        self.stopped = False
        say("the ledger can be written again; prepaid calls go on")

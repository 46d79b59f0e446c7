"""Decides how a published configuration reaches the workers: one tries it first, and if it cannot, nobody gets it.

A worker that does not answer, or has applied what the others have not, is replaced by a younger one.
"""

import os
import time
from collections.abc import Callable

from ..channel import Configure, Configured
from .workers import Worker, Workers

Done = Callable[[str, bool], None]
ANSWER_S = 10.0  # in which a worker must have applied a configuration


class Rollout:
    """One at a time."""

    def __init__(self, workers: Workers) -> None:
        self.workers = workers
        self.done: Done = lambda *_: None
        self.config_fd = self.roster_fd = -1
        self.generation = 0
        self.running = False
        self.first: Worker | None = None  # who tries it
        self.waiting: set[Worker] = set()
        self.silent: list[str] = []
        self.until = 0.0
        self._last = 0  # generation, served or not

    def start(self, config_fd: int, roster_fd: int, done: Done) -> None:
        """Distribute what the descriptors hold, which are this object's from now on.

        `done` is called once, with what is wrong ("" for nothing) and whether it is served all the same.
        """
        self.done = done
        self._last = max(self._last, self.workers.shared.generation) + 1
        self.generation = self._last
        self.config_fd, self.roster_fd = config_fd, roster_fd
        self.running = True
        self.silent = []
        self._try()

    def _try(self) -> None:
        serving = [worker for worker in self.workers.current if worker.accepts]
        if serving:
            self.first = serving[0]
            self._send(self.first)
        else:
            self._commit()  # there is nobody who could fail; all begin with it

    def _send(self, worker: Worker) -> None:
        if worker.channel is not None:
            worker.channel.send(Configure(self.generation), [self.config_fd, self.roster_fd])
            worker.astray = False
            self.waiting.add(worker)
            self.until = time.monotonic() + ANSWER_S

    def _commit(self) -> None:
        """From now on there is no way back: whoever starts, starts with it."""
        shared = self.workers.shared
        self.first = None
        os.close(shared.config_fd)
        shared.config_fd = self.config_fd
        shared.take_roster(self.roster_fd)
        shared.generation = self.generation
        for worker in self.workers.current:
            if worker.generation != self.generation:
                self._send(worker)
        self._finish_if_done()

    def configured(self, worker: Worker, answer: Configured) -> None:
        """A worker has answered."""
        if answer.problem == "":
            worker.generation = answer.generation
        if not self.running or answer.generation != self.generation:
            self._mind_stragglers(worker)
            return
        self.waiting.discard(worker)
        if self.first is worker:
            if answer.problem:
                self._refuse(f"{worker.name} cannot serve by it: {answer.problem}")
            else:
                self._commit()
            return
        if answer.problem:
            self.silent.append(f"{worker.name} could not apply it ({answer.problem})")
            self.workers.replace(worker)
        self._finish_if_done()

    def died(self, worker: Worker, end: str) -> None:
        """A worker is gone, for whatever reason."""
        if not self.running or worker not in self.waiting:
            return
        self.waiting.discard(worker)
        if self.first is worker:
            self._refuse(f"{worker.name}, the first to apply it, {end}")
        else:
            self._finish_if_done()

    def step(self) -> float:
        """Give up on who does not answer; in how many seconds to come again."""
        if not self.running:
            return ANSWER_S
        left = self.until - time.monotonic()
        if left > 0:
            return left
        for worker in self.waiting:
            self.silent.append(f"{worker.name} has not answered for {ANSWER_S:.0f} s")
            self.workers.replace(worker)
        self.waiting.clear()
        if self.first is not None:
            self._try()
        else:
            self._finish_if_done()
        return ANSWER_S

    def _finish_if_done(self) -> None:
        if self.running and not self.waiting:
            self.running = False
            problem = "; ".join(self.silent)
            self.done(f"{problem}; replaced by another" if problem else "", True)

    def _refuse(self, problem: str) -> None:
        os.close(self.config_fd)
        os.close(self.roster_fd)
        self.running = False
        self.first = None
        self.waiting.clear()
        self.done(problem, False)
        for worker in self.workers.current:
            worker.astray = True  # who has tried it goes back to the roster of the rest
            self._mind_stragglers(worker)

    def _mind_stragglers(self, worker: Worker) -> None:
        """One that serves by another configuration than the rest, late or too early, is replaced."""
        if worker.stays and not self.running and worker.generation != self.workers.shared.generation:
            self.workers.replace(worker)

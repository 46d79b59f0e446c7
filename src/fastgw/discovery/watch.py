"""Decides when a name is asked for again: when its answer is too old, and sooner, with pauses, where there is none."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from .resolver import Unresolved

TTL_MIN_S = 1.0
TTL_MAX_S = 300.0
RETRY_S = 1.0  # after a first failure; twice that after the next, and so on
RETRY_MAX_S = 30.0


class Answered(Protocol):
    """What a resolver answers."""

    @property
    def ttl_s(self) -> float: ...


A = TypeVar("A", bound=Answered)


class Watch(Generic[A]):
    """One name. A failure leaves the last answer in force; `problem` then says what is wrong.

    `changed` is told whenever either is another than before, with its name and the problem that there was.
    """

    def __init__(self, name: str, ask: Callable[[str], Awaitable[A]], changed: Callable[[str, str], None]) -> None:
        self.name = name
        self.answer: A | None = None
        self.problem = ""
        self._failures = 0  # in a row
        self._ask = ask
        self._changed = changed
        self._task = asyncio.get_running_loop().create_task(self._run())

    @property
    def asked(self) -> bool:
        """Whether there has been an answer, or none to be had."""
        return self.answer is not None or self.problem != ""

    def stop(self) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                await asyncio.sleep(await self._look())

    async def _look(self) -> float:
        """Ask; in how many seconds to ask again."""
        was, known = self.problem, self.answer
        try:
            self.answer = await self._ask(self.name)
        except Unresolved as error:
            self._failures += 1
            self.problem = str(error.args[0])
            pause_s = min(RETRY_S * (1 << min(self._failures - 1, 10)), RETRY_MAX_S) * random.uniform(0.5, 1.0)
        else:
            self._failures = 0
            self.problem = ""
            pause_s = max(TTL_MIN_S, min(self.answer.ttl_s, TTL_MAX_S)) * random.uniform(1.0, 1.1)
        if (self.problem, self.answer) != (was, known):
            self._changed(self.name, was)
        return pause_s

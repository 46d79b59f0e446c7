"""Takes the steps of the model in every order, or in random ones, with kills anywhere, and checks after every step."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import GeneratorType
from typing import Any, NamedTuple

import model
import model_keeper
from model import KEEPER, MONEY, Call, Steps, World

Duties = tuple[tuple[str, int], ...]


class Choice(NamedTuple):
    """What happens next: a step of an actor, or its death."""

    row: int
    kill: bool


@dataclass(frozen=True)
class Scenario:
    """Who does what from the beginning: the calls of each worker, the duties of the keeper, and how many are killed."""

    granted: tuple[int, int]
    calls: tuple[tuple[Call, ...], ...]
    duties: Duties = ()
    kills: int = 1
    killable: tuple[int, ...] = ()  # nobody in particular: all
    mutation: str = ""
    calls_after: tuple[Call, ...] = ()  # of a worker that takes the place of a killed one
    left: tuple[tuple[int, int, bool], ...] = ()  # rows killed before: what each claims of the account, and is it there
    coarse: bool = False


class Broken(AssertionError):
    """An invariant does not hold; the message has the history."""


@dataclass
class Run:
    """One history: the world, where everybody stands, and what has happened."""

    scenario: Scenario
    world: World = field(init=False)
    actors: dict[int, Steps] = field(init=False)
    at: dict[int, str] = field(init=False)  # the step that an actor takes next; not there: it is done
    history: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        s = self.scenario
        self.world = World(s.granted, len(s.calls), s.mutation, s.coarse)
        self.kills = s.kills
        self.actors = {row: model.worker(self.world, row, calls) for row, calls in enumerate(s.calls)}
        self.actors[KEEPER] = model_keeper.keeper(self.world, s.duties)
        self.at = {}
        for row, nanos, there in s.left:
            self.world.reserved[row][MONEY] = nanos
            self.world.committed[MONEY] += nanos if there else 0
            self.actors[row] = self._successor(row)
        for row in list(self.actors):
            self._go(row)

    def _go(self, row: int) -> None:
        """On to the actor's next step."""
        step = next(self.actors[row], None)
        if step is None:
            self.at.pop(row, None)
        else:
            self.at[row] = step

    def choices(self) -> list[Choice]:
        """What can happen next. A recovery's wait is over when nobody else is between two stores."""
        busy = {row for row in self.at if self.world.busy[row]}
        found = [Choice(row, False) for row, step in self.at.items() if step != "wait" or not busy - {row}]
        if self.kills:
            killable = self.scenario.killable or tuple(self.actors)
            found += [Choice(row, True) for row in self.at if row in killable]
        return found

    def take(self, choice: Choice) -> None:
        row, kill = choice
        self.history.append(f"{'keeper' if row == KEEPER else f'worker {row}'}: {'KILLED' if kill else self.at[row]}")
        try:
            if kill:
                self._kill(row)
            else:
                self._go(row)
            self.world.check()
        except AssertionError as error:
            raise Broken("\n".join([str(error), *self.history])) from error

    def _kill(self, row: int) -> None:
        """Its successor starts: a keeper that attaches, or a recovery of the slot and then another worker.

        The next one starts from its first step, whether it was a worker, a recovery or a keeper that was killed.
        """
        self.kills -= 1
        self.world.killed(row)
        self.actors[row] = self._successor(row)
        self._go(row)

    def _successor(self, row: int) -> Steps:
        if row == KEEPER:
            return model_keeper.new_keeper(self.world, self.scenario.duties)
        return self._again(row)

    def _again(self, row: int) -> Steps:
        yield from model.recover(self.world, row)
        yield from model.worker(self.world, row, self.scenario.calls_after)

    def finish(self) -> None:
        """Nobody is left who does anything: the keeper reads once more what has changed, and all must add up."""
        for _ in model_keeper.captures(self.world, list(self.world.ledger.captured), False):
            pass
        try:
            self.world.check_end()
        except AssertionError as error:
            raise Broken("\n".join([str(error), *self.history])) from error

    def key(self) -> tuple[object, ...]:
        """Equal for histories from which the same can follow."""
        places = tuple((row, tuple(_frames(self.actors[row]))) for row in sorted(self.at))
        return self.world.key(), places, self.kills


def _frames(generator: Any) -> Iterator[object]:
    """Where a generator stands, and what it remembers."""
    while isinstance(generator, GeneratorType) and generator.gi_frame is not None:
        frame = generator.gi_frame
        local = frame.f_locals
        yield frame.f_code.co_name, frame.f_lasti
        for value in local.values():
            if isinstance(value, int | str | tuple):
                yield value
            elif isinstance(value, list):
                yield tuple(value)
        generator = generator.gi_yieldfrom


def explore(scenario: Scenario) -> tuple[int, int]:
    """Every history of the scenario, of those that meet in the same state one: (states, ends). Raises Broken."""
    seen: set[tuple[object, ...]] = set()
    ends = 0
    branches: list[tuple[Choice, ...]] = [()]
    while branches:
        path = list(branches.pop())
        run = Run(scenario)
        for choice in path:
            run.take(choice)
        while True:
            key = run.key()
            if key in seen:
                break
            seen.add(key)
            choices = run.choices()
            if not run.at:
                run.finish()
                ends += 1
                break
            assert choices, "everybody waits for everybody"
            branches += [(*path, other) for other in choices[1:]]
            path.append(choices[0])
            run.take(choices[0])
    return len(seen), ends


def wander(scenario: Scenario, seed: int) -> Run:
    """One random history: long runs of one actor as often as short ones. Raises Broken."""
    rng = random.Random(seed)
    run = Run(scenario)
    favourite = Choice(KEEPER, False)
    while run.at:
        choices = run.choices()
        steps = [choice for choice in choices if not choice.kill]
        kills = [choice for choice in choices if choice.kill]
        if kills and rng.random() < 0.02:
            run.take(rng.choice(kills))
            continue
        if favourite not in steps or rng.random() < 0.3:
            favourite = rng.choice(steps)
        run.take(favourite)
    run.finish()
    return run

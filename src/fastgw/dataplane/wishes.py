"""Decides how calls wait for a tag that their account is given at its first use: asked for once, and not for long."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..refusals import Refusal

if TYPE_CHECKING:
    from .connection import Connection

WISHES_MAX = 64  # tags that one worker waits for at once
WAIT_MS = 1000


class Wishes:
    """The tags that a worker waits for, by the account's index and name. `send` asks the keeper."""

    def __init__(self, send: Callable[[int, str], None]) -> None:
        self.send = send
        self.waiting: dict[tuple[int, str], list[Connection]] = {}

    def ask(self, connection: Connection, account: int, name: str) -> bool:
        """Have `connection.tag_answered` called; false where too many are waited for."""
        waiting = self.waiting.get((account, name))
        if waiting is not None:
            waiting.append(connection)
            return True
        if len(self.waiting) >= WISHES_MAX:
            return False
        self.waiting[account, name] = [connection]
        self.send(account, name)
        return True

    def answer(self, account: int, name: str, made: bool) -> None:
        """The keeper has made it, or will not."""
        for connection in self.waiting.pop((account, name), ()):
            # Where it is there now, the call is admitted, or refused for another reason than this.
            connection.tag_answered(Refusal.LEDGER_UNAVAILABLE if made else Refusal.UNKNOWN_TAG)

    def give_up(self, connection: Connection) -> None:
        """It waits no more; a tag that nobody waits for is asked for again by the next call."""
        for wish, waiting in list(self.waiting.items()):
            if connection in waiting:
                waiting.remove(connection)
                if not waiting:
                    del self.waiting[wish]

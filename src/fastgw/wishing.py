"""Decides how the keeper makes tags that calls have named: one after the other, in a thread of its own, and answers."""

import threading
from queue import Full, Queue

from .channel import Channel, TagAnswer, WantTag
from .ledger.books import Books
from .ledger.errors import LedgerError

WAITING_MAX = 4096


class Wishing:
    """Takes what workers ask for; what it cannot take, or the ledger not make, is not answered: the call is refused in
    time, and may be repeated."""

    def __init__(self, channel: Channel, books: Books) -> None:
        self._channel = channel
        self._books = books
        self._wanted: Queue[WantTag] = Queue(WAITING_MAX)

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True, name="tags").start()

    def take(self, message: WantTag) -> None:
        try:
            self._wanted.put_nowait(message)
        except Full:
            return

    def _run(self) -> None:
        while True:
            wanted = self._wanted.get()
            try:
                made = self._books.want_tag(wanted.account, wanted.name)
            except LedgerError:
                continue
            self._channel.send(TagAnswer(wanted.worker, wanted.account, wanted.name, made))

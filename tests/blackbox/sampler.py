"""Watches an account while others spend from it, and keeps every reading that breaks the first rule of money."""

import threading

from fastgw._segment import Segment, account_digest


class Sampler:
    """Reads an account a thousand times a second; `broken` has what showed more committed than there was."""

    def __init__(self, segment: Segment, name: str = "acme") -> None:
        self.segment = segment
        self.index = segment.account_numbers()[account_digest(name)]
        self.readings = 0
        self.broken: list[dict[str, int]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._over.wait(0.001):
            account = self.segment.account(self.index)
            self.readings += 1
            if account["committed"] > account["granted"] + account["credit"]:
                self.broken.append(account)

    def __enter__(self) -> "Sampler":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

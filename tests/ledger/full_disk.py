"""A program that fills the file system below the ledger, sees money stop, and, when it has freed it, all go on."""

import contextlib
import os
import sys
import time
from pathlib import Path

from desk import SECRET, a_config, an_account

from fastgw._segment import Segment, account_digest
from fastgw.ledger.books import Books
from fastgw.ledger.errors import LedgerUnavailable


def healed(segment: Segment) -> float:
    """The seconds until money flows again."""
    start = time.monotonic()
    while segment.money_stopped:
        assert time.monotonic() - start < 10
        time.sleep(0.01)
    return time.monotonic() - start


def main(disk: str, memory: str) -> None:
    sizes = {"keys_max": 16, "accounts_max": 16, "routes_max": 4, "journal_records": 256}
    segment = Segment.create(f"{memory}/segment", secret=SECRET, **sizes)
    books = Books(segment, disk)
    books.open()
    books.apply(a_config([an_account("acme", 10_000_000)]))
    books.start()
    index = segment.account_numbers()[account_digest("acme")]
    spent = topped_up = 0

    def spend() -> None:
        nonlocal spent
        assert segment.hold(0, index, 1)
        segment.capture(0, index, 1, 1)
        spent += 1

    for round_ in range(3):
        filler = Path(disk, "filler")
        number = 0
        full_since = time.monotonic()
        with open(filler, "ab", buffering=0) as file:
            while time.monotonic() - full_since < 1.2:  # a ledger that is opened anew gives its log's room back
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(512))
                spend()
                with contextlib.suppress(LedgerUnavailable):
                    books.top_up("acme", 5, note="x" * 400, idempotency_key=f"{round_}-{number}")
                    topped_up += 5
                    number += 1
                if not segment.money_stopped:
                    full_since = time.monotonic()
                time.sleep(0.005)
        assert books.account("acme").balance_nanos == 10_000_000 + topped_up - spent, "it can be read"
        os.unlink(filler)
        print(f"healed after {healed(segment):.2f} s, {number} top-ups fitted")
        books.top_up("acme", 5, note="x" * 400, idempotency_key=f"{round_}-{number}")
        topped_up += 5
        assert books.audit().differences == []
        assert books.account("acme").balance_nanos == 10_000_000 + topped_up - spent
    books.stop()
    again = Books(segment, disk)
    again.open()
    again.apply(a_config([an_account("acme", 10_000_000)]))
    assert again.account("acme").balance_nanos == 10_000_000 + topped_up - spent
    assert again.parts.store.one("PRAGMA integrity_check") == ("ok",)
    again.stop()
    print("whole")


if __name__ == "__main__":
    main(*sys.argv[1:])

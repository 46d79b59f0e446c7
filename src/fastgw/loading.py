"""Decides what the segment holds of accounts and keys: what is declared, and nothing else.

Loading is repeatable: what is there already is changed in place, so spent money and half-empty buckets stay as they are.
"""

import sys
import time
from collections.abc import Iterable, Mapping

from ._segment import Segment, account_digest
from .model import Account, Key, Rate

ACTIVE, REVOKED = 1, 2
PROGRESS_S = 2.0


class _Progress:
    """A line on stderr every few seconds of a long load."""

    def __init__(self, noun: str) -> None:
        self.noun = noun
        self.next = time.monotonic() + PROGRESS_S

    def __call__(self, number: int) -> None:
        if number % 4096 == 0 and time.monotonic() >= self.next:
            self.next = time.monotonic() + PROGRESS_S
            print(f"fastgw: loading {self.noun}: {number:,}", file=sys.stderr, flush=True)


def load_accounts(segment: Segment, accounts: Iterable[Account]) -> dict[str, int]:
    """Write the accounts; the index of each by its name. An account that is not declared any more is left without means."""
    progress = _Progress("accounts")
    known = segment.account_numbers()
    numbers: dict[str, int] = {}
    for account in accounts:
        digest = account_digest(account.name)
        index = known.pop(digest, None)
        if index is None:
            index = segment.add_account(digest, account.balance_nanos, account.credit_nanos)
        else:
            segment.set_account(index, account.balance_nanos, account.credit_nanos)
        numbers[account.name] = index
        progress(len(numbers))
    for index in known.values():
        segment.set_account(index, 0, 0)
    return numbers


def load_keys(segment: Segment, keys: Iterable[Key], accounts: Mapping[str, int]) -> int:
    """Write the keys; how many. A key that is not declared any more is revoked."""
    progress = _Progress("keys")
    declared = bytearray(segment.key_count)
    limits: dict[Rate, int] = {}
    number = 0
    for number, key in enumerate(keys, 1):
        limit = 0
        if key.rate is not None:
            limit = limits.get(key.rate, 0)
            if not limit:
                limit = limits[key.rate] = segment.limit(key.rate.count, key.rate.period_ns, key.rate.burst)
        status = REVOKED if key.revoked else ACTIVE
        digest = segment.digest(key.key.reveal().encode())
        index = segment.find_key(digest)
        if index < 0:
            index = segment.add_key(digest, accounts[key.account], limit, status, key.expires_s)
        else:
            segment.set_key(index, accounts[key.account], limit, status, key.expires_s)
        if index < len(declared):
            declared[index] = 1
        progress(number)
    for index, seen in enumerate(declared):
        if not seen:
            segment.revoke_key(index)
    return number

"""Decides what the segment holds of accounts and keys: what is declared, and nothing else.

Loading is repeatable: what is there already is changed in place, so spent money and half-empty buckets stay.
"""

import sys
import time
from collections.abc import Iterable, Mapping

from ._segment import Segment, account_digest
from .model import Account, Key, Rate
from .room import Room
from .states import KeyStatus

PROGRESS_S = 2.0


class LoadError(Exception):
    """What is to be loaded contradicts itself; the message names the account, or the number of the key, never a key."""


class _Progress:
    """A line on stderr every few seconds of a long load."""

    def __init__(self, noun: str) -> None:
        self.noun = noun
        self.next = time.monotonic() + PROGRESS_S

    def __call__(self, number: int) -> None:
        if number % 4096 == 0 and time.monotonic() >= self.next:
            self.next = time.monotonic() + PROGRESS_S
            print(f"fastgw: loading {self.noun}: {number:,}", file=sys.stderr, flush=True)


def load_accounts(segment: Segment, accounts: Iterable[Account], room: Room) -> dict[str, int]:
    """Write the accounts; the index of each by its name. An account that is not declared any more has no means.

    Raises LoadError when a name comes twice, SegmentError when there is no room.
    """
    progress = _Progress("accounts")
    known = segment.account_numbers()
    numbers: dict[str, int] = {}
    for account in accounts:
        if account.name in numbers:
            raise LoadError(f'there are two accounts named "{account.name}"')
        room.need(accounts=segment.account_count + 1)
        digest = account_digest(account.name)
        index = known.pop(digest, None)
        if index is None:
            index = segment.add_account(digest, account.balance_nanos, account.credit_nanos)
        else:
            segment.set_granted(index, account.balance_nanos)
            segment.set_terms(index, credit=account.credit_nanos)
        numbers[account.name] = index
        progress(len(numbers))
    for index in known.values():
        segment.set_granted(index, 0)
        segment.set_terms(index)
    return numbers


def load_keys(segment: Segment, keys: Iterable[Key], accounts: Mapping[str, int], room: Room) -> int:
    """Write the keys; how many. A key that is not declared any more is revoked.

    Raises LoadError when a key comes twice or names no account, SegmentError when there is no room.
    """
    progress = _Progress("keys")
    declared = bytearray(segment.key_count)
    limits: dict[Rate, int] = {}
    number = 0
    for number, key in enumerate(keys, 1):
        account = accounts.get(key.account)
        if account is None:
            raise LoadError(f'key {number:,}: account = "{key.account}": no account has this name')
        room.need(keys=len(declared) + 1)
        limit = 0
        if key.rate is not None:
            limit = limits.get(key.rate, 0)
            if not limit:
                limit = limits[key.rate] = segment.limit(key.rate.count, key.rate.period_ns, key.rate.burst)
        status = KeyStatus.REVOKED if key.revoked else KeyStatus.ACTIVE
        digest = segment.digest(key.key.reveal().encode())
        index = segment.find_key(digest)
        if index < 0:
            index = segment.add_key(digest, account, limit, status, key.expires_s)
            if index == len(declared):
                declared.append(0)
        elif declared[index]:
            raise LoadError(f"key {number:,} is there already (value not shown)")
        else:
            segment.set_key(index, account, limit, status, key.expires_s)
        declared[index] = 1
        progress(number)
    for index, seen in enumerate(declared):
        if not seen:
            segment.revoke_key(index)
    return number

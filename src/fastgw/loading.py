"""Decides what of the configuration and its files the books are given, and how a mistake in it is explained."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from .config.record_files import check_files, iter_accounts, iter_keys
from .ledger.books import Books
from .ledger.errors import LoadError
from .model import Account, Config, ConfigError, Key, Problem

Item = TypeVar("Item")
PROGRESS_S = 2.0
WHERE = "accounts and keys"


def accounts_of(config: Config) -> Iterator[Account]:
    """Every account, of the file and of `accounts_file`."""
    yield from config.accounts
    if config.server.accounts_file:
        yield from iter_accounts(config.server.accounts_file)


def keys_of(config: Config) -> Iterator[Key]:
    """Every key, of the file and of `keys_file`."""
    yield from config.keys
    if config.server.keys_file:
        yield from iter_keys(config.server.keys_file)


def told(noun: str, items: Iterable[Item]) -> Iterator[Item]:
    """The same items, and a line on stderr every few seconds of a long load."""
    following = time.monotonic() + PROGRESS_S
    for number, item in enumerate(items):
        if number % 4096 == 0 and time.monotonic() >= following:
            following = time.monotonic() + PROGRESS_S
            print(f"fastgw: loading {noun}: {number:,}", file=sys.stderr, flush=True)
        yield item


def apply(books: Books, config: Config) -> None:
    """Make accounts, keys and plans what is declared.

    Raises ConfigError, naming file and line where they can be found, or SegmentError, when there is no room: then
    nothing has been granted, taken or closed; LedgerUnavailable.
    """
    try:
        books.apply(config, told("accounts", accounts_of(config)), told("keys", keys_of(config)))
    except LoadError as error:
        check_files(config, lambda _: "the configuration")  # slower, but it knows every line that is wrong
        raise ConfigError([Problem(WHERE, str(error))]) from None


def reapply(books: Books, config: Config) -> None:
    """The same while serving: the files are read whole first, so that what is wrong in them changes nothing."""
    check_files(config, lambda _: "the configuration")
    apply(books, config)

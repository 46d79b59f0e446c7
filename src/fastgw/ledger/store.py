"""Decides how the ledger's file is opened, migrated and written: SQLite, one connection, nobody else beside it."""

import contextlib
import importlib.resources
import os
import re
from collections.abc import Iterable, Sequence
from typing import Any

import apsw

Row = tuple[Any, ...]
FILE = "ledger.sqlite"
APPLICATION_ID = 0x66676C64
BUSY_MS = 10_000  # for a keeper that is being replaced to finish
PRAGMAS = """
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA trusted_schema = OFF;
    PRAGMA cache_size = -65536;
    PRAGMA journal_size_limit = 67108864;
    PRAGMA temp_store = MEMORY;
"""
# What a statement did wrong, where every other error of SQLite's is about the file, the disk or the memory.
OF_A_STATEMENT = (
    apsw.ConstraintError,
    apsw.SQLError,
    apsw.MismatchError,
    apsw.RangeError,
    apsw.TooBigError,
    apsw.BindingsError,
    apsw.MisuseError,
)


class StoreError(Exception):
    """The file cannot be the ledger; the message says why."""


def is_storage_failure(error: BaseException) -> bool:
    """Whether the file, and no statement, is what failed."""
    return isinstance(error, apsw.Error) and not isinstance(error, OF_A_STATEMENT)


def migrations() -> list[tuple[int, str]]:
    """(version, statements) of every migration there is, in order."""
    found = []
    for file in importlib.resources.files(__package__).joinpath("migrations").iterdir():
        if match := re.fullmatch(r"(\d{4})_\w+\.sql", file.name):
            found.append((int(match[1]), file.read_text(encoding="utf-8")))
    return sorted(found)


class Store:
    """The file `directory`/ledger.sqlite, mode 0600; for one thread at a time.

    Locked for as long as it is open: a second opener waits, and then fails. `vfs` names another of SQLite's ways to
    files.
    """

    def __init__(self, directory: str, vfs: str | None = None) -> None:
        self.path = os.path.join(directory, FILE)
        self.vfs = vfs
        self.connection: apsw.Connection | None = None

    def open(self) -> None:
        """Open it, made if need be, with the latest schema. Raises StoreError, or apsw.Error."""
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        self.connection = apsw.Connection(self.path, vfs=self.vfs)
        try:
            self.connection.set_busy_timeout(BUSY_MS)
            self.execute(PRAGMAS)
            self._own()
            self.execute("PRAGMA journal_mode = WAL")
            self._migrate()
        except apsw.BusyError:
            self.close()
            raise StoreError(f"{self.path} is open in another program: end it") from None
        except apsw.NotADBError:
            self.close()
            raise StoreError(f"{self.path} is not a ledger of fastgw") from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close it; what is not committed is undone. Never raises for the state of the disk."""
        connection, self.connection = self.connection, None
        if connection is not None:
            with contextlib.suppress(apsw.Error):
                connection.close(True)

    def _own(self) -> None:
        owner, tables = self.one("SELECT (SELECT * FROM pragma_application_id), count(*) FROM sqlite_schema")
        if owner != APPLICATION_ID and tables:
            raise StoreError(f"{self.path} is not a ledger of fastgw")

    def _migrate(self) -> None:
        known = migrations()
        version = int(self.one("SELECT * FROM pragma_user_version")[0])
        if version > known[-1][0]:
            raise StoreError(f"{self.path} was written by a later version of fastgw (schema {version})")
        for number, statements in known:
            if number > version:
                self.begin()
                self.execute(statements)
                self.execute(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {number}")
                self.commit()

    # Statements

    @property
    def _open(self) -> apsw.Connection:
        if self.connection is None:
            raise apsw.CantOpenError(f"{self.path} is closed")
        return self.connection

    def execute(self, statement: str, values: Sequence[Any] = ()) -> None:
        self._open.execute(statement, values).fetchall()

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        self._open.executemany(statement, rows).fetchall()

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        return list(self._open.execute(statement, values))

    def row(self, statement: str, values: Sequence[Any] = ()) -> Row | None:
        """The first row, or None."""
        return next(iter(self.rows(statement, values)), None)

    def one(self, statement: str, values: Sequence[Any] = ()) -> Row:
        """The first row, which is there."""
        row = self.row(statement, values)
        assert row is not None, statement
        return row

    @property
    def last_id(self) -> int:
        return self._open.last_insert_rowid()

    # Transactions

    def begin(self) -> None:
        self.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self.execute("COMMIT")

    def rollback(self) -> None:
        """Undo the transaction, if SQLite has not done so already. Never raises."""
        if self.connection is not None and self.connection.in_transaction:
            with contextlib.suppress(apsw.Error):
                self.connection.execute("ROLLBACK")

    @property
    def commits(self) -> int:
        """The number of the last durable transaction."""
        return int(self.one("SELECT commits FROM state")[0])

    @property
    def size_bytes(self) -> int:
        """Of the file and its log."""
        total = 0
        for path in (self.path, f"{self.path}-wal"):
            with contextlib.suppress(OSError):
                total += os.stat(path).st_size
        return total

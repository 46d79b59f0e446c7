"""Decides what the tests of the ledger work on: books over a small segment, both gone afterwards."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from desk import Desk


@pytest.fixture
def desk(memory: Path) -> Iterator[Desk]:
    """Books that are open, with nothing declared."""
    with Desk(memory) as desk:
        yield desk.start()


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory-backed storage."""
    folder = Path(tempfile.mkdtemp(prefix="fastgw-test-", dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def private_files() -> Iterator[None]:
    """Whatever the umask, the ledger is nobody else's."""
    before = os.umask(0)
    yield
    os.umask(before)

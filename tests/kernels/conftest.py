"""Decides what memory the tests of the kernels work on: a segment of their own, small, gone afterwards."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import kernel_build
import pytest

from fastgw._segment import Segment

kernel_build.load()

NewSegment = Callable[..., Segment]


@pytest.fixture(scope="module")
def shm() -> Iterator[Path]:
    """A folder in memory-backed storage."""
    folder = Path(tempfile.mkdtemp(prefix="fastgw-test-", dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def new_segment(shm: Path) -> Iterator[NewSegment]:
    """Makes segments, of small capacities unless told otherwise."""
    made: list[Path] = []

    def make(**capacities: int) -> Segment:
        path = shm / f"segment-{len(os.listdir(shm))}"
        made.append(path)
        wanted = {"keys_max": 64, "accounts_max": 16, "routes_max": 4, "journal_records": 256} | capacities
        return Segment.create(str(path), secret=os.urandom(32), **wanted)

    yield make
    for path in made:
        path.unlink(missing_ok=True)


@pytest.fixture
def segment(new_segment: NewSegment) -> Segment:
    return new_segment()

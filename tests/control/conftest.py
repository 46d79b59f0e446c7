"""Decides what the tests of the admin API ask: a server for all, and one over the real ledger and call log."""

from collections.abc import Iterator

import pytest
from admin_rig import Parts, RealParts, Served


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One for a file; its threads must not outlive these tests."""
    found = Served(tmp_path_factory.mktemp("admin"))
    yield found
    found.stop()


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One over the real ledger and call log."""
    found = Served(tmp_path_factory.mktemp("real"), parts=RealParts)
    yield found
    found.stop()


@pytest.fixture
def parts(served: Served) -> Iterator[Parts]:
    """The parts of the served server; what a test breaks is mended after it."""
    yield served.parts
    served.parts.books.down = False
    served.parts.books.differences = []
    served.parts.problems = []
    served.parts.gate.refusal = {}

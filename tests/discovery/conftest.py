"""Decides what the tests of discovery find: a name server of their own, and servers to be checked."""

from collections.abc import Callable, Iterator

import pytest
from servers import Checked, Dns


@pytest.fixture
def names() -> Iterator[Dns]:
    with Dns() as found:
        yield found


@pytest.fixture
def checked() -> Iterator[Callable[[], Checked]]:
    """Makes servers that answer checks."""
    made: list[Checked] = []

    def make() -> Checked:
        made.append(Checked())
        return made[-1]

    yield make
    for each in made:
        each.close()

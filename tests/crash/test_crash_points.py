"""After kill -9 of anything at any moment, clients, upstream, ledger and call log agree to the nano."""

import random
from pathlib import Path

import pytest
from harness import run

SEED = random.SystemRandom().randrange(1 << 30)


@pytest.mark.slow
def test_ten_crashes_at_random_points_leave_every_book_right(tmp_path: Path) -> None:
    """`python tests/crash/harness.py` does the same two hundred times."""
    outcome = run(tmp_path, points=10, seed=SEED)
    assert outcome.wrong == [], f"seed {SEED}"
    assert outcome.served > 500
    assert outcome.top_ups > 10

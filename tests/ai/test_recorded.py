"""What the fake provider says is what is recorded, byte for byte, for the tests of the dialects to read."""

from __future__ import annotations

import recorded


def test_the_provider_says_what_is_recorded() -> None:
    now = recorded.answers()
    assert sorted(now) == sorted(path.name for path in recorded.FOLDER.iterdir())
    for name, content in now.items():
        assert (recorded.FOLDER / name).read_bytes() == content, f"{name}: python tests/ai/recorded.py"

"""The openai package of npm, at a pinned version, finds what it expects: directly and through a gateway."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from fronts import Front
from provider import order

HERE = Path(__file__).with_name("sdk_npm")
NPM = shutil.which("npm")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(NPM is None, reason="npm is not on this machine, and installs the package"),
]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package, from the registry."""
    folder = tmp_path_factory.mktemp("sdk_npm")
    for name in ("package.json", "check.mjs"):
        shutil.copy(HERE / name, folder / name)
    assert NPM is not None
    subprocess.run([NPM, "install", "--silent", "--no-audit", "--no-fund"], cwd=folder, check=True, timeout=120)
    return folder


@pytest.mark.parametrize("front", ["direct", "openai", "anthropic", "gemini"], indirect=True)
def test_the_npm_package_finds_what_it_expects(front: Front, installed: Path) -> None:
    orders: dict[str, Any] = {
        "ten": order(say=10),
        "plain": "Judge.",
        "tool": order(call=[{"name": "weather", "arguments": {"city": "Paris"}}]),
        "limited": order(error="rate_limit", retry_after="1"),
        "broken": order(say=9, error="overloaded", after=4),
        "spare": front.spare("limited").model,
        "without": ["embeddings"] if front.model in {"anthropic", "gemini"} else [],
    }
    done = subprocess.run(
        ["node", "check.mjs", f"{front.url}/v1", front.key, front.model, json.dumps(orders)],
        cwd=installed, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    found = {row["name"]: row["error"] for row in map(json.loads, done.stdout.splitlines())}
    assert found
    assert {name: error for name, error in found.items() if error} == {}

"""Puts the gateways of the black-box tests within reach, and certificates for the pages that name some."""

import sys
from pathlib import Path

import pytest
from pem_files import Pem

sys.path.insert(0, str(Path(__file__).parents[1] / "blackbox"))


@pytest.fixture(scope="session")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Pem:
    return Pem(tmp_path_factory.mktemp("pem"))

"""Decides what the tests of the AI gateway share: a fake provider, and the doors through which it is reached."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "blackbox")]

from fronts import PRICES, Front, configuration, direct, through  # noqa: E402
from gateway import Gateway, account, key  # noqa: E402
from provider import Provider  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_the_sdks() -> None:
    """Keys and addresses of this machine's user are for nobody here."""
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "ANTHROPIC_")) or name.lower() in {"http_proxy", "https_proxy", "all_proxy"}:
            del os.environ[name]


@pytest.fixture(scope="session")
def session_provider() -> Iterator[Provider]:
    with Provider() as provider:
        yield provider


@pytest.fixture
def provider(session_provider: Provider) -> Iterator[Provider]:
    """The provider, with empty books."""
    session_provider.idle()
    session_provider.books.clear()
    yield session_provider
    session_provider.service.rules.clear()


@pytest.fixture(scope="session")
def ai_gateway(session_provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway before the provider, with a rich account."""
    with Gateway(tmp_path_factory.mktemp("ai"), session_provider.url) as gateway:
        text = configuration(session_provider.url, PRICES)
        gateway.file.write_text(text + account("acme", "1000") + key("sk-acme-0001", "acme"))
        gateway.start()
        yield gateway


@pytest.fixture
def front(request: pytest.FixtureRequest, provider: Provider) -> Front:
    """A door to the provider: `direct`, or through a gateway to a model of the dialect that the parameter names."""
    if request.param == "direct":
        return direct(provider)
    gateway: Gateway = request.getfixturevalue("ai_gateway")
    return through(gateway, request.param)

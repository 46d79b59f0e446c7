"""How many clients a worker takes where descriptors are scarce: what upstreams may need is left to them."""

import resource

import pytest
from config_files import MINIMAL, UPSTREAM, Accept

from fastgw.descriptors import SPARE, descriptors_warning, within_descriptors

SERVER = "[server]\nconnections_max = 5000\nupstream_connections_max = 100\n"


@pytest.fixture(autouse=True)
def scarce(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1000 + SPARE, 1000 + SPARE))


def clients(accept: Accept, targets: str) -> int:
    config = accept(SERVER + MINIMAL.replace(UPSTREAM, f'[[upstreams]]\nname = "u"\ntargets = [{targets}]\n'))
    return within_descriptors(config).server.connections_max


def test_each_target_has_descriptors_for_its_connections(accept: Accept) -> None:
    assert clients(accept, '"http://127.0.0.1:1"') == 900
    assert clients(accept, '"http://127.0.0.1:1", "http://127.0.0.1:2"') == 800


def test_targets_that_others_count_get_half_of_all(accept: Accept) -> None:
    assert clients(accept, '"srv+http://_http._tcp.a.example"') == 500
    assert clients(accept, '{ url = "http://a.example", expand = true }') == 500


def test_too_few_for_half_of_the_clients_is_said(accept: Accept) -> None:
    warning = descriptors_warning(accept(SERVER + MINIMAL))
    assert "takes 900 client connections, not connections_max = 5000" in warning
    assert "raise it" in warning

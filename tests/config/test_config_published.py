"""What a process hands to its children: the configuration to the last field, and where it can be read again."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from config_files import MINIMAL

from fastgw import published
from fastgw.config.load import load, read, read_again, source_of
from fastgw.model import Config, ConfigError
from fastgw.published import Source

EVERYTHING = """
[server]
watch = true
access_log = "-"

[[upstreams]]
name = "u"
targets = ["http://127.0.0.1:9001"]

[[routes]]
name = "r"
path = "/v1"
upstream = "u"
price = "0.5"
charge = "2xx"
units_header = "X-Units"
unit_price = "0.001"
idempotency = "24h"
upgrades = ["WebSocket", "tcp"]
minute_price = "0.002"
mib_price = "0.0001"
set_headers = { authorization = "Bearer ${PROVIDER}" }

[[plans]]
name = "gold"
rate = "10/s"
requests_per_day = 5
requests_per_month = 100
timezone = "Europe/Madrid"
allowance = "20"
prices = { r = "0.25" }

[[accounts]]
name = "acme"
plan = "gold"
expires = 2027-01-01T00:00:00Z
suspended = true

[[keys]]
account = "acme"
key = "sk-acme-0001"
budget = "5.00"
budget_period = "day"
"""
ENVIRON = {"PROVIDER": "sk-provider", "FASTGW_REALM": "acme", "HOME": "/home/me"}


@contextmanager
def handed_on(config: Config, source: Source) -> Iterator[int]:
    descriptor = published.publish(config, source)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def test_a_configuration_comes_out_as_it_went_in() -> None:
    Path("fastgw.toml").write_text(EVERYTHING)
    config = load("fastgw.toml", {}, ENVIRON)
    with handed_on(config, Source()) as descriptor:
        assert published.read(descriptor) == config
        assert published.read(descriptor) == config
        assert published.read_source(descriptor) == Source()


def test_a_child_reads_again_what_the_command_read() -> None:
    Path("fastgw.toml").write_text(EVERYTHING)
    flags = {"workers": "3", "watch": "off", "listen": None, "no_auth": False, "key": ()}
    loaded = read("fastgw.toml", flags, ENVIRON)
    with handed_on(loaded.config, source_of(loaded, "fastgw.toml", flags, ENVIRON)) as descriptor:
        assert published.read_source(descriptor).origins == loaded.origins
        Path("fastgw.toml").write_text(EVERYTHING.replace('"0.5"', '"0.6"'))
        again = read_again(published.read_source(descriptor)).config
        assert again == load("fastgw.toml", flags, ENVIRON)
        assert (again.routes[0].price_nanos, again.server.workers, again.server.watch) == (6 * 10**8, 3, False)
        assert again.server.realm == "acme"
        Path("fastgw.toml").write_text("[server]\nworkers = 0\n" + MINIMAL)
        with pytest.raises(ConfigError, match=rf"{os.getcwd()}/fastgw\.toml:2: server\.workers = 0"):
            read_again(published.read_source(descriptor))


def test_flags_alone_can_be_read_again() -> None:
    flags = {"upstream": "http://127.0.0.1:9001", "key": ("sk-acme-0001", "sk-acme-0002"), "rate": "1/s"}
    loaded = read(None, flags, {})
    with handed_on(loaded.config, source_of(loaded, None, flags, {})) as descriptor:
        assert read_again(published.read_source(descriptor)).config == loaded.config


def test_a_source_shows_no_secret() -> None:
    flags = {"upstream": "http://127.0.0.1:9001", "key": ("sk-acme-0001",)}
    source = source_of(read(None, flags, ENVIRON), None, flags, ENVIRON)
    assert "sk-" not in repr(source) + str(source)
    assert "key" in repr(source)


def test_a_variable_that_is_no_text_is_left_behind() -> None:
    flags = {"upstream": "http://127.0.0.1:9001", "no_auth": True}
    source = source_of(read(None, flags, {}), None, flags, {"BYTES": "a\udcff", "PROVIDER": "x"})
    assert source.environment == {"PROVIDER": "x"}

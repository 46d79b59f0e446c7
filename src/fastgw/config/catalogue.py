"""Decides what is known of providers by name: catalogue.toml beside this file, read once."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources

import msgspec
from msgspec import Struct


class Entry(Struct, frozen=True, forbid_unknown_fields=True):
    """One provider.

    `url` is where its API begins, with {region}, {resource} and {account} to be filled in; `needs` has the variable
    of the environment that each of these comes from by default, or "". `key` are the variables of its key, `prices` its
    id in genai-prices, `models` which of those are its own, `without` which its API does not take, or not any more, or
    by no endpoint that is here, and `also` more names that it takes, by the library's rules for names. `operations`
    are the endpoints that it has beside chat.
    """

    url: str
    dialect: str = "openai"
    key: tuple[str, ...] = ()
    key_header: str = "authorization"
    key_scheme: str = "Bearer "
    headers: Mapping[str, str] = {}
    operations: tuple[str, ...] = ()
    stream_usage: bool = True
    max_tokens_field: str = "max_tokens"
    prices: str = ""
    models: tuple[str, ...] = ("*",)
    without: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    needs: Mapping[str, str] = {}


@cache
def catalogue() -> Mapping[str, Entry]:
    """All of it, by name."""
    text = resources.files(__package__).joinpath("catalogue.toml").read_text()
    return msgspec.convert(tomllib.loads(text), dict[str, Entry])

"""The configuration as the supervisor hands it to its children: an anonymous file in memory, nothing on any disk.

It holds keys and providers' credentials, so it has no name: only who inherits the descriptor can read it.
"""

import os
from typing import Any

import msgspec
from msgspec import Struct

from .model import Config, Secret


class Source(Struct, frozen=True):
    """Where a configuration was read from, so that it can be read again.

    `config_file` is absolute, None for none. `flags` has those of the command line that were given, by name in
    snake_case, relative paths as they were given. `environment` is all of it at the start: a file may come to name
    any variable of it in set_headers. `origins` says of each setting what it came from, as in `Loaded`.
    """

    config_file: str | None = None
    flags: dict[str, str | bool | tuple[str, ...]] = {}
    environment: dict[str, str] = {}
    origins: dict[str, str] = {}

    def __repr__(self) -> str:
        # The values of flags and variables may be keys.
        return f"Source({self.config_file!r}, flags={sorted(self.flags)!r})"


class _Published(Struct, frozen=True, array_like=True):
    config: Config
    source: Source


def publish(config: Config, source: Source) -> int:
    """Write both to a new anonymous file; the descriptor, to be inherited."""
    descriptor = os.memfd_create("fastgw-config", os.MFD_CLOEXEC)
    data = msgspec.msgpack.encode(_Published(config, source), enc_hook=_hide)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(data)
    return descriptor


def read(descriptor: int) -> Config:
    """The configuration that `publish` wrote; may be read any number of times."""
    return _read(descriptor).config


def read_source(descriptor: int) -> Source:
    """Where the configuration that `publish` wrote came from."""
    return _read(descriptor).source


def _read(descriptor: int) -> _Published:
    data = bytearray()
    while part := os.pread(descriptor, 1 << 30, len(data)):  # one call gives at most 2 GiB
        data += part
    return msgspec.msgpack.decode(data, type=_Published, dec_hook=_reveal)


def _hide(value: Any) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError(type(value).__name__)


def _reveal(kind: type, value: Any) -> Any:
    if kind is Secret:
        return Secret(value)
    raise NotImplementedError(kind.__name__)

"""The configuration as the supervisor hands it to its children: an anonymous file in memory, nothing on any disk.

It holds keys and providers' credentials, so it has no name: only who inherits the descriptor can read it.
"""

import os
from typing import Any

import msgspec

from .model import Config, Secret


def publish(config: Config) -> int:
    """Write it to a new anonymous file; the descriptor, to be inherited."""
    descriptor = os.memfd_create("fastgw-config", os.MFD_CLOEXEC)
    data = msgspec.msgpack.encode(config, enc_hook=_hide)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(data)
    return descriptor


def read(descriptor: int) -> Config:
    """What `publish` wrote; may be read any number of times."""
    data = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    return msgspec.msgpack.decode(data, type=Config, dec_hook=_reveal)


def _hide(value: Any) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError(type(value).__name__)


def _reveal(kind: type, value: Any) -> Any:
    if kind is Secret:
        return Secret(value)
    raise NotImplementedError(kind.__name__)

"""The smallest configuration file, its parts, what files it may name, and how the fixtures that read one are called."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import trustme

from fastgw.model import Config

Accept = Callable[..., Config]
Refuse = Callable[..., list[str]]

UPSTREAM = """
[[upstreams]]
name = "u"
targets = ["http://127.0.0.1:9001"]
"""
ROUTE = """
[[routes]]
name = "r"
path = "/v1"
upstream = "u"
"""
MINIMAL = UPSTREAM + ROUTE


@cache
def issued(*names: str) -> trustme.LeafCert:
    """A certificate for these names, the same one every time."""
    return trustme.CA().issue_cert(*names)


def write_pem(certificate: Path, key: Path | None = None, names: tuple[str, ...] = ("example.com",)) -> None:
    """A certificate's chain in one file, and its key in another."""
    made = issued(*names)
    certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    if key is not None:
        key.write_bytes(made.private_key_pem.bytes())

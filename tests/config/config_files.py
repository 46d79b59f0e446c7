"""The smallest configuration file, its parts, and how the fixtures that read one are called."""

from collections.abc import Callable

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

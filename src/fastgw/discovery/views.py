"""What is shown of upstreams: targets as they are named, and the servers that they stand for now."""

from msgspec import Struct


class TargetView(Struct, frozen=True):
    """`origin` is "configuration", "file" or "api"; `problem` is why nothing, or nothing new, is known of it, or ""."""

    name: str
    url: str
    origin: str
    weight: int
    drained: bool
    expand: bool
    problem: str


class ServerView(Struct, frozen=True):
    """One endpoint; `reason` is why it is not `up`. `checked_s` is Unix time, 0 for never."""

    name: str
    target: str
    addresses: tuple[str, ...]
    weight: int
    up: bool
    reason: str
    checked_s: int
    number: int


class UpstreamView(Struct, frozen=True):
    """`problem` is what is wrong with its targets_file, or ""."""

    name: str
    balance: str
    targets_file: str
    problem: str
    targets: tuple[TargetView, ...]
    servers: tuple[ServerView, ...]

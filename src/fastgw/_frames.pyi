"""The frames of a WebSocket (types of the compiled module)."""

from typing_extensions import disjoint_base

@disjoint_base
class Frames:
    def feed(self, data: bytes) -> None: ...
    def between(self) -> bool: ...

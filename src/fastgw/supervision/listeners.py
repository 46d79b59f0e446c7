"""Decides which worker accepts on which of the sockets that share the listening address.

A socket of an SO_REUSEPORT group that is closed takes its queue of connections along, so none is ever closed while the
gateway serves. Each worker has one of its own; those that are nobody's are everybody's, whoever comes first.
"""

import socket
from collections.abc import Iterable, Sequence

from ..instance import BACKLOG, open_listeners, share_listener


class Listeners:
    """The sockets by number; the supervisor keeps each open as long as it lives."""

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        self.sockets = list(sockets)

    @staticmethod
    def open(address: str, number: int) -> "Listeners":
        """Raises Occupied, or OSError."""
        return Listeners(open_listeners(address, number, BACKLOG))

    def grow(self, number: int) -> None:
        """Have at least so many. A new one gets connections only when a worker listens on it. Raises OSError."""
        while len(self.sockets) < number:
            self.sockets.append(share_listener(self.sockets[0]))

    def descriptors(self, numbers: Iterable[int]) -> list[int]:
        return [self.sockets[number].fileno() for number in numbers]

    def free(self, owned: Iterable[int]) -> int:
        """The first that nobody has for its own; there must be one."""
        return min(set(range(len(self.sockets))) - set(owned))

    def shares(self, owned: Iterable[int]) -> set[int]:
        """Those that all who own one accept on besides."""
        return set(range(len(self.sockets))) - set(owned)

    def close(self) -> None:
        for listener in self.sockets:
            listener.close()

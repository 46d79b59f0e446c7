"""Decides which worker accepts on which of the listening sockets.

A listener on a port has one socket for each worker, in one SO_REUSEPORT group. A socket of such a group that is closed
takes its queue of connections along, so none is ever closed while the gateway serves; those that are nobody's are
everybody's, whoever comes first. A Unix socket, and those that systemd passes, are everybody's: their queue is one, and
stays as long as anybody has the socket open.
"""

import contextlib
import itertools
import os
import socket
from collections.abc import Iterable, Sequence

from msgspec import Struct

from ..addresses import is_port, passed_name, socket_path
from ..instance import BACKLOG, open_listeners, open_unix_listener, share_listener
from ..model import Listener
from .passed import Passed

EVERYBODY = -1


class Opened(Struct, frozen=True):
    """A listening socket of the listener number `door`; of the worker that has this row, or EVERYBODY's."""

    socket: socket.socket
    door: int
    row: int


class HandedSocket(Struct, frozen=True):
    """An `Opened` as one program hands it to the next; `descriptor` is its socket's."""

    descriptor: int
    door: int
    row: int


class Listeners:
    """The sockets by number; the supervisor keeps each open as long as it lives. A worker's own row has one socket of
    every port."""

    def __init__(self, opened: Sequence[Opened], files: Iterable[str]) -> None:
        self.opened = list(opened)
        self._files = {path: _identity(path) for path in files}

    @staticmethod
    def open(listeners: Sequence[Listener], number: int) -> "Listeners":
        """With rows for `number` workers. Raises Occupied, or OSError."""
        self = Listeners((), ())
        passed = Passed()
        try:
            for door, listener in enumerate(listeners):
                self._open(door, listener, number, passed)
            passed.refuse_rest()
        except BaseException:
            self.close()
            raise
        return self

    def _open(self, door: int, listener: Listener, number: int, passed: Passed) -> None:
        if is_port(listener.address):
            rows = enumerate(open_listeners(listener.address, number, BACKLOG))
            self.opened += [Opened(shared, door, row) for row, shared in rows]
        elif path := socket_path(listener.address):
            self.opened.append(Opened(open_unix_listener(path, BACKLOG), door, EVERYBODY))
            self._files[path] = _identity(path)
        else:
            sockets = passed.take(passed_name(listener.address) or "")
            self.opened += [Opened(given, door, EVERYBODY) for given in sockets]

    @staticmethod
    def adopt(handed: Sequence[HandedSocket], listeners: Sequence[Listener]) -> "Listeners":
        """What `handed` told of, in the program that takes over."""
        files = (socket_path(listeners[each.door].address) for each in handed)
        opened = [Opened(socket.socket(fileno=each.descriptor), each.door, each.row) for each in handed]
        return Listeners(opened, filter(None, files))

    def handed(self) -> tuple[HandedSocket, ...]:
        return tuple(HandedSocket(each.socket.fileno(), each.door, each.row) for each in self.opened)

    def grow(self, number: int) -> None:
        """Have rows for so many. A new socket gets connections only when a worker listens on it. Raises OSError."""
        for first in [each for each in self.opened if each.row == 0]:
            rows = sum(each.door == first.door for each in self.opened)
            for row in range(rows, number):
                self.opened.append(Opened(share_listener(first.socket), first.door, row))

    @property
    def numbers(self) -> set[int]:
        """Of all of them."""
        return set(range(len(self.opened)))

    def doors(self, numbers: Iterable[int]) -> tuple[int, ...]:
        return tuple(self.opened[number].door for number in numbers)

    def descriptors(self, numbers: Iterable[int]) -> list[int]:
        return [self.opened[number].socket.fileno() for number in numbers]

    def free(self, owned: Iterable[int]) -> int:
        """The first row that nobody has for its own."""
        taken = set(owned)
        return next(row for row in itertools.count() if row not in taken)

    def wanted(self, own: int, owned: Iterable[int]) -> set[int]:
        """What the worker of the row `own` accepts on, where all of these rows are somebody's: its own, and what is
        nobody's or everybody's."""
        others = {*owned} - {own}
        return {number for number, each in enumerate(self.opened) if each.row not in others}

    def close(self) -> None:
        """Accept no more, and remove the files of Unix sockets, unless another gateway has put its own there."""
        for each in self.opened:
            each.socket.close()
        for path, identity in self._files.items():
            if _identity(path) == identity:
                with contextlib.suppress(OSError):
                    os.unlink(path)
        self._files.clear()


def _identity(path: str) -> tuple[int, int]:
    """What tells a file from another of the same name; nothing, for none."""
    try:
        found = os.lstat(path)
    except OSError:
        return (0, 0)
    return (found.st_dev, found.st_ino)

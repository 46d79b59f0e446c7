"""Decides what the supervisor and its children say to each other: typed messages, with descriptors where one is due.

Each child has one pair of SOCK_SEQPACKET sockets, which keeps the bounds and the order of messages; descriptors travel
inside (unix(7), SCM_RIGHTS). The supervisor's end never blocks: what a child does not fetch waits here.
"""

import contextlib
import os
import socket
from array import array
from collections import deque
from collections.abc import Sequence

import msgspec
from msgspec import Struct

MESSAGE_MAX = 65_536  # bytes
DESCRIPTORS_MAX = 128  # in one message; Linux allows 253
RIGHTS_BYTES = socket.CMSG_SPACE(DESCRIPTORS_MAX * array("i").itemsize)
LINES_MAX = 50  # of a text that tells an outcome
LINE_MAX = 300  # characters, of up to four bytes


class Closed(Exception):
    """The other end is gone."""


class ChannelError(Exception):
    """A message came that is none of these; its descriptors are closed. The next one may be read."""


class Listen(Struct, frozen=True, tag=True):
    """To a worker: accept on these sockets too; their descriptors come along, in this order. Answer: Listening.

    `doors` has for each the number of its listener in the configuration.
    """

    listeners: tuple[int, ...]
    doors: tuple[int, ...]


class Unlisten(Struct, frozen=True, tag=True):
    """To a worker: stop accepting on these; others do. Answer: Listening."""

    listeners: tuple[int, ...]


class Listening(Struct, frozen=True, tag=True):
    """From a worker: all that it accepts on now."""

    listeners: tuple[int, ...]


class Configure(Struct, frozen=True, tag=True):
    """To a worker: serve new requests by the published configuration and the roster that come along, in this order.
    Answer: Configured."""

    generation: int


class Configured(Struct, frozen=True, tag=True):
    """From a worker: it does, or why not, in which case it goes on as before."""

    generation: int
    problem: str = ""


class Targets(Struct, frozen=True, tag=True):
    """From the keeper, and on to the workers: the roster that comes along holds from now on, beside what is served."""


class Retire(Struct, frozen=True, tag=True):
    """To a worker: others accept on its sockets; finish what is in flight, hurry nobody, and end."""


class Reload(Struct, frozen=True, tag=True):
    """To the keeper: read the configuration anew. Answer: Publish, or Outcome when there is nothing to serve."""


class Publish(Struct, frozen=True, tag=True):
    """From the keeper: have the published configuration that comes along served, with its roster. Answer: Served.

    `lines` tell people what changes.
    """

    number: int
    lines: tuple[str, ...]


class Served(Struct, frozen=True, tag=True):
    """To the keeper: every worker serves it. With a `problem`, nothing has changed, unless `applied`."""

    number: int
    problem: str = ""
    applied: bool = True


class WantTag(Struct, frozen=True, tag=True):
    """From a worker, and on to the keeper: a call of the account at that index of the segment has named a tag that is
    not there. Answer: TagAnswer, or none where the ledger cannot make it now."""

    worker: int
    account: int
    name: str


class TagAnswer(Struct, frozen=True, tag=True):
    """From the keeper, and on to the worker: the tag is there from now on, or will not be."""

    worker: int
    account: int
    name: str
    made: bool


class Outcome(Struct, frozen=True, tag=True):
    """From the keeper: a reload that ended without anything to serve; what to tell people."""

    lines: tuple[str, ...]
    refused: bool


Message = (
    Listen
    | Unlisten
    | Listening
    | Configure
    | Configured
    | Targets
    | Retire
    | Reload
    | Publish
    | Served
    | WantTag
    | TagAnswer
    | Outcome
)
Received = tuple[Message, list[int]]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Message).decode


def shortened(lines: Sequence[str]) -> tuple[str, ...]:
    """Lines for people that fit into a message, whatever they come from."""
    shown = [line if len(line) <= LINE_MAX else f"{line[:LINE_MAX]}…" for line in lines[:LINES_MAX]]
    if len(lines) > LINES_MAX:
        shown.append(f"and {len(lines) - LINES_MAX} more")
    return tuple(shown)


class Channel:
    """One end. Descriptors received are the receiver's to close, and are not inherited."""

    def __init__(self, end: socket.socket, *, blocking: bool) -> None:
        end.setblocking(blocking)
        self._end = end
        self._waiting: deque[tuple[bytes, list[int]]] = deque()

    @staticmethod
    def pair() -> tuple["Channel", socket.socket]:
        """The supervisor's end, and the socket to be inherited by a child."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return Channel(ours, blocking=False), theirs

    @staticmethod
    def inherited(descriptor: int, *, blocking: bool) -> "Channel":
        """The end whose descriptor this process was started with."""
        os.set_inheritable(descriptor, False)
        return Channel(socket.socket(fileno=descriptor), blocking=blocking)

    def fileno(self) -> int:
        return self._end.fileno()

    @property
    def waiting(self) -> bool:
        """Whether messages wait for room: `flush` when it can be written."""
        return bool(self._waiting)

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send it, or have it wait. To an end that is gone it is lost, which its process's end tells anyway.

        Raises ValueError for a message that is too long.
        """
        data = _encode(message)
        if len(data) > MESSAGE_MAX or len(descriptors) > DESCRIPTORS_MAX:
            raise ValueError(f"a {type(message).__name__} of {len(data)} bytes and {len(descriptors)} descriptors")
        if self._waiting or not self._sent(data, descriptors):
            self._waiting.append((data, [os.dup(descriptor) for descriptor in descriptors]))

    def flush(self) -> None:
        """Send what waits, as far as there is room."""
        while self._waiting and self._sent(*self._waiting[0]):
            _close(self._waiting.popleft()[1])

    def _sent(self, data: bytes, descriptors: Sequence[int]) -> bool:
        try:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))] if descriptors else []
            self._end.sendmsg([data], rights, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return False
        except (BrokenPipeError, ConnectionError):
            pass
        return True

    def receive(self) -> Received | None:
        """The next message with its descriptors; None when there is none yet, and the end does not block.

        Raises Closed, or ChannelError.
        """
        try:
            # Not socket.recv_fds, which has no use for its flags.
            data, rights, flags, _ = self._end.recvmsg(MESSAGE_MAX, RIGHTS_BYTES, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return None
        except ConnectionError:
            raise Closed from None
        if not data:
            raise Closed
        descriptors = [descriptor for _, _, rest in rights for descriptor in array("i", rest)]
        try:
            if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                raise ChannelError("a message came incomplete")
            return _decode(data), descriptors
        except (msgspec.DecodeError, ChannelError) as error:
            _close(descriptors)
            raise ChannelError(str(error)) from None

    def close(self) -> None:
        for _, descriptors in self._waiting:
            _close(descriptors)
        self._waiting.clear()
        self._end.close()


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)

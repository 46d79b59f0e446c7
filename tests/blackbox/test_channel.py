"""Messages between the supervisor and a child: whole, in order, with their descriptors, and never waited for."""

import os
import socket

import msgspec
import pytest

from fastgw.channel import (
    LINES_MAX,
    MESSAGE_MAX,
    Channel,
    ChannelError,
    Closed,
    Configure,
    Configured,
    Listen,
    Message,
    Outcome,
    Publish,
    Reload,
    Retire,
    Served,
    Unlisten,
    shortened,
)


@pytest.fixture
def ends() -> tuple[Channel, Channel]:
    ours, theirs = Channel.pair()
    return ours, Channel(theirs, blocking=False)


@pytest.mark.parametrize(
    "message",
    [
        Unlisten((1, 2)), Configured(3, "no"), Retire(), Reload(), Publish(4, ("a", "b")), Served(5, "x", False),
        Outcome(("ä",), True),
    ],
    ids=lambda message: type(message).__name__,
)  # fmt: skip
def test_a_message_comes_as_it_was_sent(ends: tuple[Channel, Channel], message: Message) -> None:
    ends[0].send(message)
    assert ends[1].receive() == (message, [])
    assert ends[1].receive() is None


def test_descriptors_come_along_and_are_inherited_by_nobody(ends: tuple[Channel, Channel]) -> None:
    pipes = [os.pipe() for _ in range(3)]
    ends[0].send(Listen((0, 1, 2), (0, 0, 1)), [write for _, write in pipes])
    received = ends[1].receive()
    assert received is not None
    for number, descriptor in enumerate(received[1]):
        assert not os.get_inheritable(descriptor)
        os.write(descriptor, b"%d" % number)
        assert os.read(pipes[number][0], 9) == b"%d" % number


def test_what_the_other_end_does_not_fetch_waits_in_order(ends: tuple[Channel, Channel]) -> None:
    read, write = os.pipe()
    sent = 0
    while not ends[0].waiting:
        ends[0].send(Configure(sent), [write])
        sent += 1
    ends[0].send(Configure(sent), [write])
    os.close(write)
    for number in range(sent + 1):
        ends[0].flush()
        received = ends[1].receive()
        assert received is not None
        assert received[0] == Configure(number)
        os.close(received[1][0])
    assert not ends[0].waiting
    assert os.read(read, 1) == b"", "no copy of the descriptor is left"


def test_an_end_that_is_gone_is_told_to_who_receives_and_no_error_to_who_sends(ends: tuple[Channel, Channel]) -> None:
    ends[0].send(Reload())
    ends[0].close()
    ends[1].send(Retire())
    assert ends[1].receive() == (Reload(), [])
    with pytest.raises(Closed):
        ends[1].receive()


def test_what_another_version_says_is_an_error_and_the_next_message_is_read() -> None:
    ours, theirs = Channel.pair()
    read, write = os.pipe()
    socket.send_fds(theirs, [msgspec.msgpack.encode({"type": "Sing", "song": 1})], [write])
    os.close(write)
    Channel(theirs, blocking=False).send(Reload())
    with pytest.raises(ChannelError, match="Sing"):
        ours.receive()
    assert os.read(read, 1) == b"", "its descriptor is closed"
    assert ours.receive() == (Reload(), [])


def test_a_text_of_any_length_fits(ends: tuple[Channel, Channel]) -> None:
    lines = shortened(["€" * 100_000] * 1000)
    assert len(lines) == LINES_MAX + 1
    assert lines[-1] == "and 950 more"
    ends[0].send(Outcome(lines, True))
    with pytest.raises(ValueError, match=r"\d+ bytes"):
        ends[0].send(Outcome(("x" * MESSAGE_MAX,), True))

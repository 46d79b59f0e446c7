"""Stands for systemd: listens on sockets, and becomes a command that they are passed to (sd_listen_fds(3)).

`python passing.py NAME=PORT|PATH… -- COMMAND…`; an address that begins with "dgram:" gets a socket of another type.
"""

import os
import socket
import sys

FIRST = 3


def opened(place: str) -> socket.socket:
    if place.startswith("dgram:"):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind(("127.0.0.1", 0))
        return made
    if place.isdecimal():
        return socket.create_server(("127.0.0.1", int(place)), backlog=512)
    return socket.create_server(place, family=socket.AF_UNIX, backlog=512)


def main(arguments: list[str]) -> None:
    sockets, command = arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :]
    names, places = zip(*(each.split("=", 1) for each in sockets), strict=True)
    made = [os.dup(opened(place).detach()) for place in places]
    high = [os.dup2(descriptor, 100 + index) for index, descriptor in enumerate(made)]
    for index, descriptor in enumerate(high):
        os.dup2(descriptor, FIRST + index, inheritable=True)
        os.close(descriptor)
    os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(names)), "LISTEN_FDNAMES": ":".join(names)}
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])

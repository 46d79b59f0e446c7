"""Decides which sockets a service manager has passed to this process, and which listener accepts on them.

They are the descriptors from 3 on, as sd_listen_fds(3) has it: LISTEN_FDS says how many, LISTEN_FDNAMES what each is
called, and LISTEN_PID whom they are for.
"""

import os
import socket
import stat

FIRST = 3


class Passed:
    """What is there, by name; each is taken once."""

    def __init__(self) -> None:
        """Raises OSError for what is no listening stream socket."""
        self._left: list[tuple[str, socket.socket]] = []
        if os.environ.get("LISTEN_PID") != str(os.getpid()):
            return
        number = os.environ.get("LISTEN_FDS", "")
        names = os.environ.get("LISTEN_FDNAMES", "").split(":")
        for index in range(int(number) if number.isdecimal() else 0):
            name = names[index] if index < len(names) else ""
            self._left.append((name, _listening(FIRST + index, name)))

    def take(self, name: str) -> list[socket.socket]:
        """Those of that name; all that are left for "". Raises OSError where there are none."""
        found = [(each, given) for each, given in self._left if name in ("", each)]
        if not found:
            known = ", ".join(f'"{each}"' for each, _ in self._left) or "nothing"
            what = f'no socket of the name "{name}"' if name else "no socket"
            raise OSError(f"systemd passes {what}, but {known}: see FileDescriptorName= in the .socket unit")
        self._left = [each for each in self._left if each not in found]
        return [given for _, given in found]

    def refuse_rest(self) -> None:
        """Clients of a socket that nobody accepts on would wait for ever. Raises OSError."""
        for name, _ in self._left:
            raise OSError(f'systemd passes the socket "{name}", which is no listener: add address = "systemd:{name}"')


def _listening(descriptor: int, name: str) -> socket.socket:
    try:
        if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            os.set_inheritable(descriptor, False)
            given = socket.socket(fileno=descriptor)
            if given.type == socket.SOCK_STREAM and given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                return given
    except OSError:
        pass
    raise OSError(f'what systemd passes as "{name}" is no listening stream socket: use ListenStream=, Accept=no')

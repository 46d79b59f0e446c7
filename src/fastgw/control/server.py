"""Decides how the admin address is served: bound before anything is loaded, then by a thread of the keeper.

The framework takes a good part of a second to import, so the thread does it: what asks meanwhile waits in the
listening socket's queue, and the gateway's start does not wait at all.
"""

import errno
import socket
import sys
import threading
import traceback
from typing import TYPE_CHECKING

from ..addresses import split_listen
from ..instance import family_of, port_holder
from .services import Services
from .token import admin_token, token_path

if TYPE_CHECKING:
    import uvicorn

BACKLOG = 128
STOP_TIMEOUT_S = 5.0


class AdminServer:
    """Serves `services` at `address` ("127.0.0.1:8081", ":8081" for all interfaces) from `start` to `stop`.

    Raises OSError, with a sentence for people, when the address cannot be bound or the token cannot be read or made.
    """

    def __init__(self, address: str, services: Services) -> None:
        self.address = address
        self.services = services
        self.token_file = token_path(services.state_dir)
        self.token = admin_token(services.state_dir)
        self.socket = _listen(address)
        self.server: uvicorn.Server | None = None
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._serve, name="admin", daemon=True)

    def start(self) -> None:
        """Begin to answer; returns at once."""
        self.thread.start()

    def stop(self) -> None:
        """Close the address, let requests under way end, at most for some seconds. May be called at any time."""
        self.stopping.set()
        if self.server is not None:
            self.server.should_exit = True
        if self.thread.is_alive():
            self.thread.join(STOP_TIMEOUT_S)
        self.socket.close()

    def _serve(self) -> None:
        try:
            from .serving import make_server

            self.server = make_server(self.services, self.token, self.token_file)
            if not self.stopping.is_set():  # else `stop` came before there was a server to tell
                self.server.run(sockets=[self.socket])
        except BaseException:
            print(f"fastgw: error: the admin address {self.address} is not served:", file=sys.stderr)
            traceback.print_exc()
            sys.stderr.flush()


def _listen(address: str) -> socket.socket:
    host, port = split_listen(address)
    family = family_of(host)
    result = socket.socket(family, socket.SOCK_STREAM)
    try:
        result.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            result.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1 if host else 0)
        result.bind((host, port))
        result.listen(BACKLOG)
    except OSError as error:
        result.close()
        reason = f"in use by {port_holder(port)}" if error.errno == errno.EADDRINUSE else error.strerror
        raise OSError(f"cannot serve the admin address {address}: {reason}; choose another --admin") from None
    return result

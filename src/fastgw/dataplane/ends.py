"""What lies around an exchange, as the exchange sees it: its client, its upstream, and who lends it one."""

from typing import Any

from .._call import Peer
from .._wire import send_now
from .deadlines import Timed


class End(Timed):
    """One side's connection (asyncio.Protocol), written to past the event loop wherever nothing waits before it."""

    def __init__(self) -> None:
        super().__init__()
        self.transport: Any = None
        self.descriptor = -1  # the transport's, from connection_made until connection_lost
        self.writable = True  # nothing is in the transport's buffer
        self.secured = False  # by TLS: what is sent must go through the transport

    def attach(self, transport: Any) -> None:
        """Take the transport that connection_made brings."""
        self.transport = transport
        self.descriptor = transport.get_extra_info("socket").fileno()
        self.secured = transport.get_extra_info("ssl_object") is not None
        transport.set_write_buffer_limits(0)  # `writable` then says that nothing is buffered

    def send(self, data: bytes) -> None:
        """Write, without waiting."""
        if self.descriptor < 0:
            return
        if self.writable and not self.secured:
            sent = send_now(self.descriptor, data)
            if sent == len(data):
                return
            if sent < 0:
                self.unsendable()
                return
            data = data[sent:]
        self.transport.write(data)

    def unsendable(self) -> None:
        """The connection is broken: nothing can be written any more."""
        raise NotImplementedError


class ClientEnd(End):
    """The connection that the request came on; `peer` is the address at its other end."""

    def __init__(self) -> None:
        super().__init__()
        self.peer: Peer
        self.half_closed = False  # it has sent all it will

    def hold_input(self, held: bool) -> None:
        """Stop, or go on, reading the request's body."""
        raise NotImplementedError

    def hand_over(self, protocol: Any) -> bytes:
        """Let another protocol have the connection, and be read; what has come ahead of that."""
        raise NotImplementedError

    def finished(self, keep: bool) -> None:
        """The answer is whole; the connection may carry another request if `keep`."""
        raise NotImplementedError

    def broken(self) -> None:
        """The answer cannot be completed: close so that the client sees it cut."""
        raise NotImplementedError


class UpstreamEnd(End):
    """A connection to a target, lent to one exchange at a time; `reused` when it has served another before; `held`
    while its answer is not read; `idle_ms` how long it may lie idle by what the target has said, -1 when it has not."""

    def __init__(self) -> None:
        super().__init__()
        self.idle_ms = -1
        self.reused = False
        self.held = False

    def hold_input(self, held: bool) -> None:
        """Stop, or go on, reading the answer."""
        raise NotImplementedError

    def expect(self, within_ms: int) -> None:
        """Something must come within that time."""
        raise NotImplementedError

    def give_back(self, reusable: bool) -> None:
        """The exchange is through with it: to the pool, or closed."""
        raise NotImplementedError


class Lender:
    """Lends connections to one endpoint; `number` is the endpoint's in the call log, `host_line` what it is called."""

    def __init__(self, number: int, host_line: bytes) -> None:
        self.number = number
        self.host_line = host_line

    def take(self, exchange: Any, fresh: bool) -> bool:
        """Place the call here, if there is room: `exchange.connected` or `exchange.unreached` follows, maybe before
        this returns. `fresh` asks for a connection that has served nobody."""
        raise NotImplementedError

    def renew(self, exchange: Any) -> bool:
        """Give the call, which is placed here, a new connection if one may be made."""
        raise NotImplementedError

    def answered(self, status: int, us: int) -> None:
        """An answer has begun, so long after its call was sent."""
        raise NotImplementedError

    def failed(self) -> None:
        """A call that was sent here got no answer."""
        raise NotImplementedError

    def left(self) -> None:
        """A call that was placed here is over, or tried elsewhere."""
        raise NotImplementedError


NOBODY = Lender(0, b"Host: nobody\r\n")  # in the place of an endpoint, where there is none


class Group:
    """The endpoints of an upstream, as an exchange sees them."""

    def choose(self, exchange: Any) -> Lender:
        """Whom the call should go to, who has not been tried for it; NOBODY where nobody can be asked."""
        raise NotImplementedError

    def place(self, exchange: Any, lender: Lender, fresh: bool) -> None:
        """Place the call there, or else with another, or have it wait; or `exchange.refused` follows. All that maybe
        before this returns."""
        raise NotImplementedError

    def withdraw(self, exchange: Any) -> None:
        """The call waits no longer."""
        raise NotImplementedError

    def may_repeat(self, exchange: Any, cause: int) -> bool:
        """Whether the call, which may have been served, is made once more, and counted as that. `cause` is what went
        wrong, see `retries`."""
        raise NotImplementedError

    def may_go_elsewhere(self, exchange: Any) -> bool:
        """Whether the call, of which nothing has been sent, goes to another endpoint."""
        raise NotImplementedError

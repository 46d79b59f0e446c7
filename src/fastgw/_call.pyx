# cython: language_level=3, boundscheck=False, wraparound=False
# cython: embedsignature=True, embedsignature.format=clinic
"""A call as it is carried from admission to its end: who makes it, and what it holds."""
import socket

from libc.string cimport memcpy

from fastgw.kernels.render cimport put_hex64


cdef class Peer:
    """The client's end of a connection: its address, kept as the bytes that the journal and the upstream will see."""

    def __init__(self, str address, int port):
        self.address = address
        self.port = port
        if ":" in address:
            packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
        else:
            packed = b"\0" * 10 + b"\xff\xff" + socket.inet_pton(socket.AF_INET, address)
        memcpy(self.raw, <const char*>packed, 16)
        self.lines = f"X-Forwarded-For: {address}\r\nX-Forwarded-Proto: http\r\nVia: 1.1 fastgw\r\n".encode()


cdef class Ticket:
    """An admitted call: what it holds, and its journal record in the making. Settled exactly once, by `Gate.settle`."""

    cpdef bytes request_id(self):
        """Thirty-two hexadecimal digits."""
        cdef char text[32]
        put_hex64(put_hex64(text, self.record.request[0]), self.record.request[1])
        return text[:32]

    @property
    def held_nanos(self) -> int:
        return self.held

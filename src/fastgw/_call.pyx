# cython: language_level=3, boundscheck=False, wraparound=False
# cython: embedsignature=True, embedsignature.format=clinic
"""A call as it is carried from admission to its end: who makes it, and what it holds."""
import socket

cimport cython
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy, memset

from fastgw.kernels.journal cimport HOLD_ACCOUNT
from fastgw.kernels.octets cimport same_secret
from fastgw.kernels.render cimport put_hex64


cdef class Peer:
    """The client's end of a connection: its address, kept as the bytes that the journal and the upstream will see, and
    the key that it last presented.

    A connection carries the same key nearly always, and what the key was found to be holds for good: an index never
    changes its meaning, and whether the key may be used is read from its record at every call. So the hash is computed
    once per connection. The key itself stays in this process, and goes with the connection.
    """

    def __init__(self, str address, int port, bint secured=False):
        self.address = address
        self.port = port
        if ":" in address:
            packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
        else:
            packed = b"\0" * 10 + b"\xff\xff" + socket.inet_pton(socket.AF_INET, address)
        memcpy(self.raw, <const char*>packed, 16)
        scheme = "https" if secured else "http"
        self.lines = f"X-Forwarded-For: {address}\r\nX-Forwarded-Proto: {scheme}\r\nVia: 1.1 fastgw\r\n".encode()

    def __dealloc__(self):
        memset(self.key, 0, sizeof(self.key))

    cdef bint knows(self, const char* key, size_t length, uint64_t changes) noexcept:
        """Whether `key_index` is what this key is. Takes a time that does not depend on the bytes of either."""
        return (length == self.key_length and (self.key_index >= 0 or changes == self.key_changes)
                and same_secret(key, self.key, length))

    cdef void remember(self, const char* key, size_t length, int64_t index, uint64_t changes) noexcept:
        self.key_length = 0
        if length <= sizeof(self.key):
            memcpy(self.key, key, length)
            self.key_length = length
        self.key_index = index
        self.key_changes = changes

    cpdef identify(self, tuple identities):
        """It has shown a certificate, which may be a key by each of these texts; the first one that is, counts."""
        self.identities = identities or None
        self.identity_index = -1


@cython.freelist(64)
@cython.no_gc
cdef class Ticket:
    """An admitted call: what it holds, and its journal record in the making. Settled exactly once, by `Gate.settle`.

    It keeps the table of routes that it was admitted by, so that a reload changes neither its price nor its dialect. It
    is no part of any cycle: the collector need not know of it.
    """

    cpdef bytes request_id(self):
        """Thirty-two hexadecimal digits."""
        cdef char text[32]
        put_hex64(put_hex64(text, self.record.request[0]), self.record.request[1])
        return text[:32]

    @property
    def held_nanos(self) -> int:
        """What the account holds for it: the most that it can be charged; 0 once it is settled."""
        return 0 if self.settled else self.holds.held[<int>HOLD_ACCOUNT]

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastgw._routes cimport RouteTable
from fastgw.kernels.forwarded cimport NETWORKS_MAX, network_t
from fastgw.kernels.head cimport head_t
from fastgw.kernels.journal cimport holds_t
from fastgw.kernels.layout cimport record_t, segment_t
from fastgw.kernels.reserve cimport use_t


cdef class Proxies:
    cdef network_t networks[NETWORKS_MAX]
    cdef uint32_t count
    cdef bint local                     # peers on Unix sockets
    cdef bint trusts(self, const uint8_t* raw, bint addressed) noexcept


cdef class Peer:
    cdef readonly str address
    cdef readonly int port
    cdef readonly bint trusted          # one of the proxies: its requests say who the client is
    cdef uint8_t raw[16]
    cdef bytes lines                    # for the upstream, where the peer is the client
    # for the upstream, where the peer is trusted
    cdef Proxies proxies
    cdef bytes text
    cdef bytes scheme
    cdef bytes rest
    # the key that came last on this connection, and what it was found to be
    cdef char key[192]
    cdef size_t key_length              # 0: none
    cdef int64_t key_index              # -1: unknown, as long as key_changes is what it was
    cdef uint64_t key_changes
    # the texts by which its certificate may be a key, None without one, and what key that was found to be
    cdef tuple identities
    cdef int64_t identity_index
    cdef uint64_t identity_changes
    cpdef identify(self, tuple identities)
    cdef int64_t identity(self, const segment_t* s, const uint64_t* start) except? -1
    cdef void find_client(self, const head_t* h, const char* at, uint8_t* address, uint16_t* port) noexcept
    cdef char* put_lines(self, const head_t* h, const char* at, char* to) noexcept
    cdef bint knows(self, const char* key, size_t length, uint64_t changes) noexcept
    cdef void remember(self, const char* key, size_t length, int64_t index, uint64_t changes) noexcept


cdef class Ticket:
    cdef record_t record
    cdef holds_t holds
    cdef use_t use
    cdef RouteTable table               # which it was admitted by
    cdef int64_t started_ns
    cdef readonly int route
    cdef readonly bint settled
    cdef readonly bint head_method
    cdef readonly int minor
    cpdef bytes request_id(self)
    cpdef void meter(self, long long tokens_in, long long tokens_out, int model, bint estimated,
                     long long tokens_cached=*, long long tokens_reasoning=*) noexcept
    cpdef long long scope(self) noexcept
    cpdef long long elapsed_us(self) noexcept
    cpdef long long balance(self) noexcept
    cpdef long long holding(self) noexcept

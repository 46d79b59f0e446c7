from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fastgw._answers cimport Answers
from fastgw._call cimport Peer, Ticket
from fastgw._flight cimport Flight
from fastgw._http cimport RequestHead
from fastgw._routes cimport RouteTable, route_t
from fastgw._segment cimport Segment
from fastgw.kernels.layout cimport record_t


cdef class Gate(Flight):
    cdef Segment segment
    cdef Answers answers
    cdef readonly RequestHead head
    cdef uint64_t start[8]              # digest state behind the secret
    cdef int64_t body_max
    cdef RouteTable table
    # this request
    cdef record_t now
    cdef int64_t started_ns
    cdef route_t* route
    cdef readonly int route_index
    cdef readonly bint tag_wanted       # refused for a tag that its account would be given
    # this worker
    cdef uint64_t* no_route
    cdef uint64_t request_high
    cdef uint64_t request_count
    cdef char* scratch

    cdef int _authenticate(self, Peer peer) except -1
    cdef int _claim(self, uint64_t key) noexcept
    cdef int _claim_tag(self) noexcept
    cpdef int begin(self, bytes data, Py_ssize_t start, Py_ssize_t end) except? -1
    cpdef void stranger(self, Peer peer) noexcept
    cpdef int decide(self, Peer peer) except -1
    cpdef bytes refuse(self, int verdict, bint close)
    cpdef Ticket ticket(self)
    cpdef bytes request(self, Ticket ticket, Peer peer, bytes host_line, Py_ssize_t body_start, Py_ssize_t body_end)
    cpdef bytes fail(self, Ticket ticket, int verdict, bint close)
    cpdef bytes answer_lines(self, Ticket ticket, bint close, bint dated)
    cpdef void count_tunnels(self, int tunnels) noexcept
    cpdef void beat(self) noexcept
    cpdef void count(self, int clients, int upstreams, int exchanges) noexcept
    cpdef void meet(self, int turned_away, int handshakes, int failed) noexcept

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fastgw._call cimport Peer, Ticket
from fastgw._http cimport RequestHead
from fastgw._routes cimport RouteTable, route_t
from fastgw._segment cimport Segment
from fastgw.kernels.claim cimport claim_t
from fastgw.kernels.layout cimport record_t, segment_t, worker_t
from fastgw.kernels.opens cimport opens_t
from fastgw.kernels.template cimport template_t


cdef class Gate:
    cdef Segment segment
    cdef segment_t* s
    cdef readonly int worker
    cdef worker_t* me
    cdef readonly RequestHead head
    cdef uint64_t start[8]              # digest state behind the secret
    cdef int64_t body_max
    cdef RouteTable table
    # refusals: [dialect][code]
    cdef template_t* templates
    cdef int codes
    cdef list keep                      # objects whose bytes they point at
    # this request
    cdef record_t now
    cdef claim_t claim
    cdef int64_t started_ns
    cdef route_t* route
    cdef readonly int route_index
    # this worker
    cdef opens_t opens
    cdef uint64_t* no_route
    cdef uint64_t* histograms
    cdef uint64_t request_high
    cdef uint64_t request_count
    cdef int64_t realtime_offset
    cdef char date[64]
    cdef size_t date_length
    cdef char* scratch

    cdef int _authenticate(self, Peer peer) except -1
    cdef int _claim(self, uint64_t key) noexcept
    cdef bytes _render(self, int verdict, int dialect, record_t* record, bint head_method, int minor, bint close)
    cpdef int begin(self, bytes data, Py_ssize_t start, Py_ssize_t end) except? -1
    cpdef void stranger(self, Peer peer) noexcept
    cpdef int decide(self, Peer peer) except -1
    cpdef bytes refuse(self, int verdict, bint close)
    cpdef Ticket ticket(self)
    cpdef bytes request(self, Ticket ticket, Peer peer, bytes host_line, Py_ssize_t body_start, Py_ssize_t body_end)
    cpdef bytes fail(self, Ticket ticket, int verdict, bint close)
    cpdef int extend(self, Ticket ticket, long long nanos) except -1
    cpdef void earn(self, Ticket ticket, int status, long long cost, long long bytes_in, long long bytes_out,
                    int target) noexcept
    cpdef long long answered(self, Ticket ticket) noexcept
    cpdef void settle(self, Ticket ticket, int verdict, int status, bint charge, long long cost, long long bytes_in,
                      long long bytes_out, int target) noexcept
    cpdef bytes answer_lines(self, Ticket ticket, bint close, bint dated)
    cpdef void count_tunnels(self, int tunnels) noexcept
    cpdef void beat(self) noexcept
    cpdef void count(self, int clients, int upstreams, int exchanges) noexcept
    cpdef void meet(self, int turned_away, int handshakes, int failed) noexcept

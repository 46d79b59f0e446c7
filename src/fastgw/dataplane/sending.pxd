from fastgw._call cimport Ticket
from fastgw._core cimport Gate
from fastgw._http cimport ChunkedBody, RequestHead
from fastgw.dataplane.bounds cimport Bounds
from fastgw.dataplane.deadlines cimport Wheel
from fastgw.dataplane.ends cimport ClientEnd, Group, Lender, UpstreamEnd
from fastgw.dataplane.plane cimport Plane
from fastgw.dataplane.service cimport Service

cimport cython

cdef int FRAMING_NONE
cdef int WAITING, ENDED
cdef Lender NOBODY
cdef long long FOREVER_MS
cdef Py_ssize_t PENDING_MAX


@cython.freelist(64)
cdef class Sending:
    cdef public Plane plane
    cdef public Gate gate
    cdef public ClientEnd client
    cdef public Ticket ticket
    cdef public Bounds bounds
    cdef public Service service
    cdef public Group group
    cdef public Lender pool
    cdef public bint placed
    cdef public bint waits
    cdef public bint waited
    cdef public unsigned long long affinity
    cdef public int tries
    cdef public list tried
    cdef public bint renewed
    cdef public UpstreamEnd upstream
    cdef public int stage
    cdef public long long end_tick
    cdef public long long hold_tick
    cdef public bint sent
    cdef public long long sent_us
    cdef public long long cost
    cdef public bint repeatable
    cdef public bint named
    cdef public bint keep_client
    cdef public bint request_open
    cdef public long long request_left
    cdef public ChunkedBody request_chunks
    cdef public bint reframes
    cdef public bytes first
    cdef public list pending
    cdef public Py_ssize_t pending_size
    cdef public long long bytes_in
    cdef public bytes partial
    cdef public int status
    cdef public int framing
    cdef public long long left
    cdef public ChunkedBody chunks
    cdef public bint reusable
    cdef public long long bytes_out

    @cython.locals(head=RequestHead, wheel=Wheel, bounds=Bounds)
    cpdef _open(self, Plane plane, ClientEnd client, Ticket ticket, Service service)
    @cython.locals(head=RequestHead, stop=Py_ssize_t, chunked=bint)
    cpdef Py_ssize_t start(self, bytes data, Py_ssize_t end)
    cpdef bytes _head(self, Py_ssize_t end, Py_ssize_t stop)
    cpdef _choose(self)
    cpdef _take(self, bint fresh)
    @cython.locals(at=Py_ssize_t, rest=Py_ssize_t)
    cpdef assign(self, Lender pool)
    cpdef connected(self, UpstreamEnd upstream)
    cpdef _unsent(self, UpstreamEnd upstream)
    cpdef _renew(self)
    cpdef unreached(self, int refusal)
    cpdef bint _repeats(self, int cause)
    cpdef _take_again(self)
    cpdef refused(self, int refusal)
    @cython.locals(taken=Py_ssize_t, part=bytes)
    cpdef Py_ssize_t request_data(self, bytes data)
    cpdef _request_part(self, bytes part)
    @cython.locals(chunks=ChunkedBody)
    cpdef bint _chunks_fine(self)
    cpdef _await(self, long long within_ms)
    cpdef _await_client(self)
    cpdef long long within(self, long long within_ms)
    cpdef request_input(self, bint held)
    @cython.locals(upstream=UpstreamEnd)
    cpdef _leave_upstream(self, bint reusable)
    cpdef unserved(self, int refusal)

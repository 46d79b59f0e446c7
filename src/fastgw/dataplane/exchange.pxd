from fastgw._call cimport Ticket
from fastgw._core cimport Gate
from fastgw._http cimport ChunkedBody, RequestHead, ResponseHead, chunk, find_head_end
from fastgw.dataplane.bounds cimport Bounds
from fastgw.dataplane.ends cimport ClientEnd, Lender, UpstreamEnd
from fastgw.dataplane.plane cimport Plane
from fastgw.dataplane.service cimport Service

cimport cython

cdef int FRAMING_NONE, FRAMING_LENGTH, FRAMING_CHUNKED, FRAMING_CLOSE
cdef int WAITING, STREAMING, ENDED
cdef long long FOREVER_MS
cdef Py_ssize_t ANSWER_HEAD_MAX, PENDING_MAX


@cython.freelist(64)
cdef class Exchange:
    cdef public Plane plane
    cdef public Gate gate
    cdef public ClientEnd client
    cdef public Ticket ticket
    cdef public Bounds bounds
    cdef public Service service
    cdef public Lender pool
    cdef public UpstreamEnd upstream
    cdef public int stage
    cdef public long long end_tick
    cdef public long long hold_tick
    cdef public bint sent
    cdef public long long cost
    cdef public bint repeatable
    cdef public bint keep_client
    cdef public bint request_open
    cdef public long long request_left
    cdef public ChunkedBody request_chunks
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

    @cython.locals(head=RequestHead, stop=Py_ssize_t, chunked=bint)
    cpdef Py_ssize_t start(self, bytes data, Py_ssize_t end)
    cpdef bytes _head(self, Py_ssize_t end, Py_ssize_t stop)
    cpdef _take(self, bint fresh)
    cpdef connected(self, UpstreamEnd upstream)
    @cython.locals(taken=Py_ssize_t, part=bytes)
    cpdef Py_ssize_t request_data(self, bytes data)
    @cython.locals(chunks=ChunkedBody)
    cpdef bint _chunks_fine(self)
    cpdef _await(self, long long within_ms)
    cpdef _await_client(self)
    cpdef long long within(self, long long within_ms)
    @cython.locals(position=Py_ssize_t, end=Py_ssize_t)
    cpdef answer_data(self, bytes data)
    @cython.locals(answer=ResponseHead, status=int, cost=cython.longlong, stop=Py_ssize_t, after=Py_ssize_t,
                   out=bytes, part=bytes, done=bint)
    cpdef Py_ssize_t _answer_head(self, bytes data, Py_ssize_t start, Py_ssize_t end)
    cpdef _switch(self, long long cost, bytes rest)
    @cython.locals(answer=ResponseHead, keep=bint)
    cpdef bytes _begin_answer(self, int status)
    @cython.locals(answer=ResponseHead)
    cpdef _frame(self, int status)
    @cython.locals(part=bytes, done=bint)
    cpdef _stream(self, bytes data)
    @cython.locals(part=bytes, reframe=bint)
    cpdef tuple _body_part(self, bytes data, Py_ssize_t start)
    cpdef _send(self, bytes data)
    cpdef _pass_on(self, bytes data, bint done)
    cpdef answer_ended(self)
    @cython.locals(upstream=UpstreamEnd)
    cpdef upstream_lost(self)
    @cython.locals(overdue=bint, patient=bint)
    cpdef upstream_late(self)
    @cython.locals(total_ms=cython.longlong)
    cpdef _go_on(self)
    cpdef request_input(self, bint held)
    cpdef answer_input(self, bint held)
    @cython.locals(upstream=UpstreamEnd)
    cpdef _leave_upstream(self, bint reusable)
    cpdef _end(self, int verdict, int status, bint charge)
    cpdef _complete(self, bytes last)
    @cython.locals(keep=bint, out=bytes)
    cpdef unserved(self, int refusal)
    cpdef _cut(self, int verdict, bint charge)
    cpdef client_gone(self)

from fastgw._http cimport ChunkedBody, ResponseHead, chunk, find_head_end
from fastgw.dataplane.ends cimport Lender, UpstreamEnd
from fastgw.dataplane.sending cimport Sending

cimport cython

cdef int FRAMING_NONE, FRAMING_LENGTH, FRAMING_CHUNKED, FRAMING_CLOSE
cdef int WAITING, STREAMING, ENDED
cdef int RESET, TIMEOUT
cdef Py_ssize_t ANSWER_HEAD_MAX


cdef class Exchange(Sending):
    @cython.locals(position=Py_ssize_t, end=Py_ssize_t)
    cpdef answer_data(self, bytes data)
    @cython.locals(answer=ResponseHead, status=int, cost=cython.longlong, after=Py_ssize_t)
    cpdef Py_ssize_t _answer_head(self, bytes data, Py_ssize_t start, Py_ssize_t end)
    cpdef _interim(self)
    @cython.locals(answer=ResponseHead, stop=Py_ssize_t, out=bytes, part=bytes, done=bint)
    cpdef Py_ssize_t _final_head(self, bytes data, Py_ssize_t end, int status, long long cost)
    cpdef _switch(self, long long cost, bytes rest)
    @cython.locals(pool=Lender, us=cython.longlong)
    cpdef bint _repeats_answered(self, int status)
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
    cpdef bint _is_over(self)
    @cython.locals(total_ms=cython.longlong)
    cpdef _go_on(self)
    cpdef answer_input(self, bint held)
    cpdef bytes probe(self)
    cpdef _end(self, int verdict, int status, bint charge)
    cpdef _complete(self, bytes last)
    @cython.locals(keep=bint, out=bytes)
    cpdef unserved(self, int refusal)
    cpdef _cut(self, int verdict, bint charge)
    cpdef client_gone(self)

from fastgw._json cimport Picker
from fastgw._sse cimport data_at
from fastgw._usage cimport Usage
from fastgw.ai.estimate cimport piece, tokens_of
from fastgw.ai.relay cimport Portion, Relay
from fastgw.ai.reported cimport found_usage, reads_usage
from fastgw.ai.sse cimport Blocks

cimport cython

cdef int ODD, TEXTS, REASONING_CONTENT, REASONING, FINISH_REASON, USAGE, X_GROQ, OTHERS, TYPE, DELTAS, DELTAS_END
cdef Picker _chunk_picker, _message_picker


@cython.locals(at=Py_ssize_t)
cpdef bint reads(Picker picker, bytes block) except -1


cdef class Passing(Relay):
    cdef Blocks _blocks
    cdef bint _hide
    cdef bint _finished
    cdef int _searches

    cpdef bytes whole(self, bytes body)
    cdef Usage _with_searches(self, Usage usage)
    cpdef long long plain(self, bytes block) except? -3
    cpdef bytes bare(self, bytes block)
    @cython.locals(tokens=cython.longlong, block=bytes)
    cpdef list feed(self, bytes data)
    cpdef Usage _account(self, bytes body)
    cpdef Usage told(self, object usage)
    cpdef long long event(self, bytes data) except? -2
    cpdef long long odd(self, bytes data) except? -2


cdef long long _delta_tokens(object delta) except -1


cdef class Chunks(Passing):
    @cython.locals(found=Picker, ends=Py_ssize_t, thought=Py_ssize_t, size=Py_ssize_t, place=int,
                   tokens=cython.longlong)
    cpdef long long plain(self, bytes block) except? -3
    cpdef bytes bare(self, bytes block)
    cpdef long long event(self, bytes data) except? -2
    cdef long long _told(self, object chunk, long long tokens) except? -2


cdef class Messages(Passing):
    @cython.locals(found=Picker, size=Py_ssize_t, written=Py_ssize_t, place=int)
    cpdef long long plain(self, bytes block) except? -3

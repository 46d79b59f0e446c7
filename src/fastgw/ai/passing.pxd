from fastgw.ai.relay cimport Relay
from fastgw.ai.sse cimport Blocks


cdef class Passing(Relay):
    cdef Blocks _blocks
    cdef bint _hide
    cdef bint _finished
    cdef int _searches

    cpdef bytes whole(self, bytes body)
    cpdef _account(self, bytes body)
    cpdef told(self, object usage)
    cpdef long long event(self, bytes data) except? -2
    cpdef long long odd(self, bytes data) except? -2


cdef long long _delta_tokens(object delta) except -1


cdef class Chunks(Passing):
    cpdef long long event(self, bytes data) except? -2
    cdef long long _told(self, object chunk, long long tokens) except? -2


cdef class Typed(Passing):
    cpdef _end(self, object event)


cdef class Responses(Typed):
    pass


cdef class Transcripts(Typed):
    cdef bint _by_second


cdef class Images(Typed):
    cdef bint _each
    cdef int _made


cdef class Messages(Passing):
    pass

from fastgw._json cimport Picker
from fastgw.ai.estimate cimport piece, tokens_of
from fastgw.ai.passing cimport Passing, reads

cimport cython

cdef int ODD, TYPE, DELTA
cdef Picker _typed_picker


cdef class Typed(Passing):
    @cython.locals(found=Picker, size=Py_ssize_t)
    cpdef long long plain(self, bytes block) except? -3
    cpdef _end(self, object event)


cdef class Responses(Typed):
    pass


cdef class Transcripts(Typed):
    cdef bint _by_second


cdef class Images(Typed):
    cdef bint _each
    cdef int _made

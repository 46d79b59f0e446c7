from fastgw._sse cimport cut, data_at, is_event

cimport cython


cdef class Blocks:
    cdef bytearray _rest

    @cython.locals(blocks=list)
    cpdef list feed(self, bytes data)
    cpdef bytes finish(self)


@cython.locals(at=Py_ssize_t)
cpdef bytes data_of(bytes block)

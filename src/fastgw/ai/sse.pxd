from fastgw._sse cimport data_at, is_event

cimport cython


cdef class Blocks:
    cdef bytearray _rest

    cpdef list feed(self, bytes data)
    cpdef bytes finish(self)


@cython.locals(at=Py_ssize_t)
cpdef bytes data_of(bytes block)

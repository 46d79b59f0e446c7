cdef class Blocks:
    cdef bytearray _rest

    cpdef list feed(self, bytes data)
    cpdef bytes finish(self)


cdef bint _is_one(bytes data) except -1

cpdef bytes data_of(bytes block)

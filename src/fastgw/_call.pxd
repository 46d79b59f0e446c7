from libc.stdint cimport int64_t, uint8_t

from fastgw.kernels.layout cimport record_t


cdef class Peer:
    cdef readonly str address
    cdef readonly int port
    cdef uint8_t raw[16]
    cdef bytes lines


cdef class Ticket:
    cdef record_t record
    cdef int64_t held
    cdef int64_t started_ns
    cdef readonly int route
    cdef readonly bint settled
    cdef readonly bint head_method
    cdef readonly int minor
    cpdef bytes request_id(self)

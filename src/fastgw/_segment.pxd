from libc.stdint cimport int64_t, uint64_t

from fastgw.kernels.layout cimport segment_t


cdef class Segment:
    cdef segment_t s
    cdef readonly str path
    cdef object limit_numbers
    cdef _map(self, int descriptor, uint64_t size)
    cdef int _account(self, object index) except -1
    cdef int _worker(self, object index) except -1
    cdef int _limit(self, object number) except -1
    cdef int _key(self, object index) except -1
    cdef int64_t _excess_take(self, uint64_t a)

from libc.stdint cimport uint64_t

from fastgw.kernels.layout cimport segment_t


cdef class Mapping:
    cdef segment_t s
    cdef readonly str path
    cdef _claim(self, list areas)
    cdef _map(self, int descriptor, uint64_t size)
    cdef int _account(self, object index) except -1
    cdef int _worker(self, object index) except -1
    cdef int _limit(self, object number) except -1
    cdef int _key(self, object index) except -1

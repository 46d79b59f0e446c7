from libc.stdint cimport uint64_t

from fastgw.kernels.layout cimport segment_t


cdef int make_file(str path, bytes header, uint64_t size, uint64_t claimed, bint replace) except -1
cdef char* map_file(str path, str unfit, uint64_t least, uint64_t* size, int* descriptor) except NULL


cdef class Mapping:
    cdef segment_t s
    cdef readonly str path
    cdef _claim(self, list areas)
    cdef int _account(self, object index) except -1
    cdef int _worker(self, object index) except -1
    cdef int _limit(self, object number) except -1
    cdef int _key(self, object index) except -1

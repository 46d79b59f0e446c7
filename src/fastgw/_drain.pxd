from libc.stdint cimport int64_t, uint64_t

from fastgw._mapping cimport Mapping


cdef class Drain(Mapping):
    cdef int64_t* seen                  # by account: what `captures` has said last
    cdef bint _any_dirty(self, uint64_t group, int workers)
    cdef bint _clean(self, uint64_t group, int workers)

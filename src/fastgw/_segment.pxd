from libc.stdint cimport int64_t, uint64_t

from fastgw._tables cimport Tables


cdef class Segment(Tables):
    cdef int _key_terms(self, object account, object limit, object budget) except -1
    cdef int64_t _recover_claims(self, list accounts, int row) except -1
    cdef tuple _take_claim(self, uint64_t a, int row)
    cdef int64_t _take_excess(self, uint64_t a, int row) except -1
    cdef bint _surplus(self, uint64_t a, int64_t* surplus) noexcept

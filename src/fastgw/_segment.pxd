from libc.stdint cimport int64_t, uint64_t

from fastgw._drain cimport Drain
from fastgw.kernels.layout cimport name_t


cdef class Segment(Drain):
    cdef object limit_numbers
    cdef uint64_t _name(self, str name, str noun, name_t* names, uint64_t* count, uint64_t most, str advice) except? 0
    cdef list _names(self, name_t* names, const uint64_t* count)
    cdef int _key_terms(self, object account, object limit, object budget) except -1
    cdef int64_t _recover_claims(self, list accounts, int row) except -1
    cdef tuple _take_claim(self, uint64_t a, int row)
    cdef int64_t _take_excess(self, uint64_t a, int row) except -1
    cdef bint _surplus(self, uint64_t a, int64_t* surplus) noexcept

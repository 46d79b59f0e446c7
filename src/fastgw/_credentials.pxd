from libc.stdint cimport uint64_t

from fastgw._segment cimport Segment
from fastgw.kernels.bucket cimport limit_t
from fastgw.kernels.credentials cimport credential_t
from fastgw.kernels.tokens cimport drawn_t


cdef class Credentials:
    cdef Segment segment
    cdef readonly str path
    cdef char* base
    cdef uint64_t size
    cdef int descriptor
    cdef credential_t* cells
    cdef _map(self)
    cdef uint64_t _now_ns(self) noexcept


cdef class Standing:
    cdef Credentials table
    cdef readonly unsigned long long name
    cdef credential_t* cell
    cdef limit_t requests
    cdef limit_t tokens
    cdef credential_t* _own(self) noexcept
    cdef uint64_t _count(self, long long tokens) noexcept
    cpdef Drawn take(self, long long tokens)
    cpdef long long wait_ms(self, long long tokens) noexcept
    cpdef void rest(self, long long for_ms) noexcept
    cpdef void exhaust(self, long long for_ms) noexcept
    cpdef void refuse(self, bint unpaid) noexcept
    cpdef void worked(self) noexcept


cdef class Drawn:
    cdef Standing standing
    cdef limit_t tokens
    cdef drawn_t drawn
    cdef uint64_t before
    cdef uint64_t after
    cdef bint open
    cpdef void used(self, long long tokens) noexcept
    cpdef void free(self) noexcept

from libc.stdint cimport uint64_t

from fastgw._core cimport Gate
from fastgw._segment cimport Segment
from fastgw.kernels.targets cimport targets_t, use_t


cdef class Targets:
    cdef targets_t t
    cdef Segment segment
    cdef readonly str path
    cdef dict tallies                   # in use by this worker, by name
    cdef _map(self)


cdef class Tally:
    cdef Targets table
    cdef readonly unsigned long long name
    cdef int slot
    cdef Py_ssize_t users
    cdef use_t* cell
    cdef use_t* row
    cpdef bint enter(self, unsigned int most) noexcept
    cpdef void leave(self) noexcept
    cpdef void back_out(self) noexcept
    cpdef bint connect(self, unsigned int most) noexcept
    cpdef void disconnect(self) noexcept
    cpdef void heard(self, long long us) noexcept
    cpdef void failed(self) noexcept
    cpdef void retried(self) noexcept
    cpdef void eject(self, long long for_ms) noexcept
    cpdef void await_room(self, unsigned int calls) noexcept
    cpdef bint is_wanted(self) noexcept
    cdef uint64_t _workers(self) noexcept
    cpdef release(self)


cpdef unsigned long long affinity(Gate gate, bytes header) noexcept

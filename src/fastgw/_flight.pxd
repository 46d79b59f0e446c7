from libc.stdint cimport int64_t, uint64_t

from fastgw._call cimport Ticket
from fastgw.kernels.claim cimport claim_t
from fastgw.kernels.layout cimport segment_t, worker_t
from fastgw.kernels.opens cimport opens_t


cdef class Flight:
    cdef segment_t* s
    cdef readonly int worker
    cdef worker_t* me
    cdef opens_t opens
    cdef claim_t claim                  # of the request being decided, or of what a call in flight was refused
    cdef uint64_t* histograms
    cdef int64_t realtime_offset
    cpdef int extend(self, Ticket ticket, long long nanos) except -1
    cpdef long long room(self, Ticket ticket) noexcept
    cpdef int reserve(self, Ticket ticket, long long tokens) except -1
    cpdef void earn(self, Ticket ticket, int status, long long cost, long long bytes_in, long long bytes_out,
                    int target) noexcept
    cpdef long long answered(self, Ticket ticket) noexcept
    cpdef void settle(self, Ticket ticket, int verdict, int status, bint charge, long long cost, long long bytes_in,
                      long long bytes_out, int target) noexcept

from libc.stdint cimport int64_t, uint64_t

from fastgw._call cimport Ticket
from fastgw._core cimport Gate
from fastgw._http cimport RequestHead
from fastgw._segment cimport Segment
from fastgw.kernels.idempotency cimport entry_t, table_t


cdef class Idempotency:
    cdef table_t t
    cdef Segment segment
    cdef readonly str path
    cdef uint64_t start[8]
    cdef uint64_t digest[4]
    cdef readonly unsigned long long number
    cdef readonly unsigned long long word
    cdef _map(self)
    cdef _digest(self, Gate gate, bytes route, bytes key)
    cdef int _write(self, entry_t* entry, bytes head, bytes body) noexcept
    cdef bytes _read(self, const entry_t* entry, uint64_t owner)
    cdef _restore(self, uint64_t number, uint64_t request, uint64_t last)
    cpdef int find(self, Gate gate, bytes route, bytes key)
    cpdef int take(self, Gate gate, bytes route, bytes key)
    cpdef Ticket paid_ticket(self, Gate gate)
    cpdef keep(self, Ticket ticket, unsigned long long number, bytes fingerprint, bytes head, bytes body, bint dated,
               long long window_ms)
    cpdef end(self, unsigned long long number, bint done)
    cpdef tuple answer(self, unsigned long long number, unsigned long long word, bytes fingerprint)


cpdef bytes idempotency_key(RequestHead head)

from fastgw._call cimport Peer
from fastgw.dataplane.deadlines cimport Timed


cdef class ClientEnd(Timed):
    cdef public Peer peer
    cpdef send(self, bytes data)
    cpdef hold_input(self, bint held)
    cpdef finished(self, bint keep)
    cpdef broken(self)


cdef class UpstreamEnd(Timed):
    cdef public bint reused
    cdef public bint held
    cpdef send(self, bytes data)
    cpdef hold_input(self, bint held)
    cpdef expect(self, long long within_ms)
    cpdef give_back(self, bint reusable)


cdef class Lender:
    cdef public int number
    cdef public bytes host_line
    cpdef UpstreamEnd take(self, object exchange, bint fresh)

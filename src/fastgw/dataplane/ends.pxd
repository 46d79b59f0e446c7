from fastgw._call cimport Peer
from fastgw._wire cimport send_now
from fastgw.dataplane.deadlines cimport Timed

cimport cython


cdef class End(Timed):
    cdef public object transport
    cdef public int descriptor
    cdef public bint writable
    cdef public bint secured
    cpdef attach(self, object transport)
    @cython.locals(sent=Py_ssize_t)
    cpdef send(self, bytes data)
    cpdef unsendable(self)


cdef class ClientEnd(End):
    cdef public Peer peer
    cdef public bint half_closed
    cpdef hold_input(self, bint held)
    cpdef bytes hand_over(self, object protocol)
    cpdef finished(self, bint keep)
    cpdef broken(self)


cdef class UpstreamEnd(End):
    cdef public bint reused
    cdef public bint held
    cdef public long long idle_ms
    cpdef hold_input(self, bint held)
    cpdef expect(self, long long within_ms)
    cpdef give_back(self, bint reusable)


cdef class Lender:
    cdef public int number
    cdef public bytes host_line
    cpdef bint take(self, object exchange, bint fresh)
    cpdef bint renew(self, object exchange)
    cpdef answered(self, int status, long long us)
    cpdef failed(self)
    cpdef left(self)


cdef class Group:
    cpdef Lender choose(self, object exchange)
    cpdef place(self, object exchange, Lender lender, bint fresh)
    cpdef withdraw(self, object exchange)
    cpdef bint may_repeat(self, object exchange, int cause)
    cpdef bint may_go_elsewhere(self, object exchange)

from fastgw._call cimport Ticket
from fastgw._core cimport Gate
from fastgw._usage cimport Fare, Tariff, Usage
from fastgw.ai.relay cimport Asked
from fastgw.dataplane.providers cimport Served

cimport cython

cdef long long STEP, ATTEMPTS


cpdef long long with_slack(long long tokens)


@cython.no_gc
cdef class Meter(Fare):
    cdef public Gate gate
    cdef public Ticket ticket
    cdef public Asked asked
    cdef public Tariff tariff
    cdef public bint pays
    cdef public long long likely_tokens
    cdef public long long base
    cdef public long long held
    cdef public long long most
    cdef public long long cap
    cdef public bint shrunk
    cdef public long long reach
    cdef public long long passed
    cdef public long long step
    cpdef _open(self, Gate gate, Ticket ticket, Asked asked, long long most, bint pays)
    cpdef set(self, Tariff tariff)
    cpdef long long _tokens_for(self, long long nanos) except -1
    @cython.locals(verdict=int, more=cython.longlong)
    cpdef int _hold_for(self, long long tokens) except -1
    @cython.locals(ahead=cython.longlong, verdict=int)
    cpdef int hold(self, Served one, bint stream) except -1
    cpdef long long _affordable(self) except -1
    @cython.locals(tokens=cython.longlong, verdict=int)
    cpdef int _hold_less(self, long long least, long long most) except -1
    @cython.locals(total=cython.longlong, ahead=cython.longlong, verdict=int)
    cpdef int cover(self, long long tokens) except -1
    cpdef long long earned(self) except -1
    @cython.locals(cost=cython.longlong, missing=cython.longlong)
    cpdef long long capture(self, Usage usage) except -1
    @cython.locals(verdict=int)
    cpdef _hold_rest(self, long long missing)


@cython.locals(meter=Meter)
cpdef Meter open_meter(Gate gate, Ticket ticket, Asked asked, long long most, bint pays)

from fastgw.dataplane.ends cimport Lender

cimport cython

cdef Lender NOBODY
cdef long long DECAY_MS, UNKNOWN_US


cdef class Candidate(Lender):
    cdef public str name
    cdef public long long weight
    cdef public long long share
    cdef public bint ready
    cdef public long long outstanding
    cdef public long long credit
    cdef public double peak_us
    cdef public long long peak_tick
    @cython.locals(known=double)
    cpdef observe(self, long long us, long long tick, long long tick_ms)
    cpdef double latency_us(self, long long tick, long long tick_ms)


cdef class Policy:
    cdef public long long tick
    cdef public long long tick_ms
    cpdef Lender pick(self, list ready, unsigned long long affinity, list tried)


cdef class RoundRobin(Policy):
    @cython.locals(total=cython.longlong, best=Candidate, candidate=Candidate)
    cpdef Lender pick(self, list ready, unsigned long long affinity, list tried)


cdef class LeastConnections(Policy):
    cdef public Py_ssize_t turn
    @cython.locals(many=Py_ssize_t, i=Py_ssize_t, best=Candidate, candidate=Candidate)
    cpdef Lender pick(self, list ready, unsigned long long affinity, list tried)


cdef class Latency(Policy):
    cdef public long long seed
    @cython.locals(many=Py_ssize_t, first=Py_ssize_t, second=Py_ssize_t, one=Candidate, other=Candidate)
    cpdef Lender pick(self, list ready, unsigned long long affinity, list tried)
    cpdef Py_ssize_t _draw(self, Py_ssize_t many)
    @cython.locals(us=double)
    cpdef double _load(self, Candidate candidate)


cdef class Hash(Policy):
    cdef public list points
    cdef public list owners
    @cython.locals(at=Py_ssize_t, many=Py_ssize_t, i=Py_ssize_t, owner=Candidate)
    cpdef Lender pick(self, list ready, unsigned long long affinity, list tried)

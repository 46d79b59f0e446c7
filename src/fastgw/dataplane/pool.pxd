from fastgw._core cimport Gate
from fastgw._targets cimport Tally
from fastgw._wire cimport is_quiet
from fastgw.dataplane.ends cimport UpstreamEnd
from fastgw.dataplane.exchange cimport Exchange
from fastgw.dataplane.health cimport Health
from fastgw.dataplane.plane cimport Plane
from fastgw.dataplane.policies cimport Candidate

cimport cython

cdef int TRIAL
cdef Py_ssize_t MANY


cdef class UpstreamConnection(UpstreamEnd):
    cdef public Pool pool
    cdef public Exchange exchange
    cdef public object connecting
    cdef public bint closed
    cdef public int epoch
    cdef public long long idle_since
    cpdef bint is_usable(self)
    cpdef close(self)


cdef class Pool(Candidate):
    cdef public object owner
    cdef public Plane plane
    cdef public Gate gate
    cdef public object endpoint
    cdef public Tally tally
    cdef public Health health
    cdef public object connector
    cdef public int epoch
    cdef public list idle
    cdef public Py_ssize_t open
    cdef public Py_ssize_t connecting
    cdef public Py_ssize_t connecting_max
    cdef public bint trying
    cdef public bint waited_for
    cdef public bint timed
    cdef public unsigned int requests_max
    cdef public unsigned int connections_max
    cdef public Py_ssize_t most
    cdef public long long connect_ms
    cdef public long long idle_ms
    cdef public set tasks
    cdef public bint closed
    cdef public bint rested
    @cython.locals(call=Exchange, connection=UpstreamConnection)
    cpdef bint take(self, object exchange, bint fresh)
    cpdef bint renew(self, object exchange)
    @cython.locals(connection=UpstreamConnection)
    cpdef UpstreamConnection _idle_one(self)
    cpdef bint _may_connect(self)
    cpdef _connect_for(self, Exchange exchange)
    cpdef answered(self, int status, long long us)
    cpdef failed(self)
    cpdef left(self)
    cpdef room(self)
    cpdef forget(self, UpstreamConnection connection)
    cpdef bint keeps(self, UpstreamConnection connection)

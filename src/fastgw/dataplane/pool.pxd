from fastgw._core cimport Gate
from fastgw._wire cimport is_quiet
from fastgw.dataplane.ends cimport Lender, UpstreamEnd
from fastgw.dataplane.exchange cimport Exchange
from fastgw.dataplane.plane cimport Plane

cimport cython


cdef class UpstreamConnection(UpstreamEnd):
    cdef public Pool pool
    cdef public Exchange exchange
    cdef public object connecting
    cdef public bint closed
    cdef public long long idle_since
    cpdef bint is_usable(self)
    cpdef close(self)


cdef class Pool(Lender):
    cdef public Plane plane
    cdef public Gate gate
    cdef public object endpoint
    cdef public object connector
    cdef public list idle
    cdef public Py_ssize_t open
    cdef public Py_ssize_t most
    cdef public long long connect_ms
    cdef public long long idle_ms
    cdef public set tasks
    cdef public bint closed
    @cython.locals(connection=UpstreamConnection)
    cpdef UpstreamEnd take(self, object exchange, bint fresh)
    cpdef forget(self, UpstreamConnection connection)

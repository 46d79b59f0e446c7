from fastgw._targets cimport affinity
from fastgw.dataplane.ends cimport Group, Lender
from fastgw.dataplane.exchange cimport Exchange
from fastgw.dataplane.plane cimport Plane
from fastgw.dataplane.policies cimport Policy
from fastgw.dataplane.pool cimport Pool

cimport cython

cdef Lender NOBODY
cdef int SHARED


cdef class Upstream(Group):
    cdef public Plane plane
    cdef public object model
    cdef public object server
    cdef public object context
    cdef public list pools
    cdef public list ready
    cdef public list trials
    cdef public Pool only
    cdef public long long calls
    cdef public Policy policy
    cdef public object retries
    cdef public object waiting
    cdef public bint letting_in
    cdef public bint left
    cdef public object look
    cdef public object sharing
    cdef public bint hashing
    cdef public bytes header
    @cython.locals(call=Exchange)
    cpdef Lender choose(self, object exchange)
    @cython.locals(ready=list, chosen=Lender)
    cpdef Lender _pick(self, Exchange exchange)
    @cython.locals(call=Exchange)
    cpdef place(self, object exchange, Lender lender, bint fresh)
    @cython.locals(pool=Pool)
    cpdef bint _place_with_another(self, Exchange exchange, Lender full, bint fresh)
    cpdef let_in(self, Pool where)

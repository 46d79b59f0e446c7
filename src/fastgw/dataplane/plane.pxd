from fastgw._core cimport Gate
from fastgw._http cimport ResponseHead
from fastgw._idempotency cimport Idempotency
from fastgw._targets cimport Targets
from fastgw.dataplane.bounds cimport Bounds
from fastgw.dataplane.deadlines cimport Wheel


cdef class Plane:
    cdef public object loop
    cdef public object segment
    cdef public Gate gate
    cdef public ResponseHead answer
    cdef public Wheel wheel
    cdef public Bounds bounds
    cdef public object proxies
    cdef public object contexts
    cdef public set clients
    cdef public bint draining
    cdef public bint parting
    cdef public bint shedding
    cdef public object pressure
    cdef public object config
    cdef public object roster
    cdef public list services
    cdef public object sources
    cdef public object wishes
    cdef public Idempotency calls
    cdef public Targets targets
    cdef public dict upstreams
    cdef public object _second
    cdef public object _timer

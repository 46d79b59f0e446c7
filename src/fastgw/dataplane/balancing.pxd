from fastgw.dataplane.pool cimport Pool
from fastgw.dataplane.plane cimport Plane


cdef class Upstream:
    cdef public Plane plane
    cdef public object server
    cdef public object model
    cdef public object context
    cdef public list pools
    cdef public Py_ssize_t turn
    cpdef Pool pick(self)

from fastgw.dataplane.pool cimport Pool


cdef class Upstream:
    cdef public object model
    cdef public object context
    cdef public list pools
    cdef public Py_ssize_t turn
    cpdef Pool pick(self)

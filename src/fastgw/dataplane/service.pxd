from fastgw.dataplane.ends cimport Group

cdef int SERVED, SUCCEEDED, ALWAYS


cdef class Service:
    cdef public bytes name
    cdef public Group upstream
    cdef public object models
    cdef public object prompt
    cdef public bint paid
    cdef public bint preserve_host
    cdef public bint priced
    cdef public int rule
    cdef public bint always
    cdef public bytes cost_field
    cdef public long long unit_price
    cdef public object upgrades
    cdef public long long minute_price
    cdef public long long mib_price
    cdef public long long window_ms
    cpdef bint charges(self, int status)

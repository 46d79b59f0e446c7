from fastgw.dataplane.deadlines cimport Timed


cdef class Health(Timed):
    cdef public object upstream
    cdef public object pool
    cdef public int state
    cdef public bint troubled
    cdef public long long failures
    cdef public long long times
    cdef public long long percent
    cdef public long long since
    cpdef failed(self)
    cpdef succeeded(self)

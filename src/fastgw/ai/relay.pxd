cdef class Relay:
    cdef public object usage
    cdef public object known
    cdef public long long relayed
    cdef public bint ended
    cdef public object failure

    cpdef tuple charged(self, object likely)
    cpdef bytes whole(self, bytes body)
    cpdef list feed(self, bytes data)

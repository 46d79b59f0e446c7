from fastgw.ai.asking cimport Body


cdef class Call:
    cdef public object operation
    cdef public object asked
    cdef str _target
    cdef Body _body

    cpdef bint serves(self, object provider) except -1
    cpdef prepare(self, object provider, object candidate, long long max_tokens)
    cdef bint _passes(self, object provider) except -1
    cdef _json(self, object provider, object candidate, long long max_tokens)
    cdef dict _caps(self, object provider, object most)
    cdef _relay(self, object price, bint hide_usage=*, int searches=*)

from fastgw.ai.asking cimport Body, read_body
from fastgw.ai.relay cimport Asked, Relay, Sent

cimport cython


cdef class Call:
    cdef public object operation
    cdef public Asked asked
    cdef str _target
    cdef Body _body

    cpdef bint serves(self, object provider) except -1
    cpdef Sent prepare(self, object provider, object candidate, long long max_tokens)
    cdef bint _passes(self, object provider) except -1
    @cython.locals(body=Body, hide=bint)
    cdef Sent _json(self, object provider, object candidate, long long max_tokens)
    cdef _bound(self, dict changes, object provider, long long most)
    cdef Relay _relay(self, object price, bint hide_usage=*, int searches=*)


cpdef Call read(object operation, str rest, str query, str content_type, bytes body)

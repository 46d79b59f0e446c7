from fastgw._usage cimport Usage

cimport cython


@cython.no_gc
@cython.freelist(16)
cdef class Asked:
    cdef public str operation
    cdef public str model
    cdef public bint stream
    cdef public long long input_tokens
    cdef public long long max_tokens
    cdef public long long choices
    cdef public bint bounded
    cdef public Usage usage


cdef class Sent:
    cdef public str path
    cdef public bytes body
    cdef public bytes fields
    cdef public Relay relay
    cdef public bytes content_type


@cython.no_gc
@cython.freelist(16)
cdef class Portion:
    cdef public bytes data
    cdef public long long tokens


cdef class Relay:
    cdef public Usage usage
    cdef public Usage known
    cdef public long long relayed
    cdef public bint ended
    cdef public object failure

    cpdef tuple charged(self, Usage likely)
    cpdef bytes whole(self, bytes body)
    cpdef list feed(self, bytes data)

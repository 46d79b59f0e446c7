from fastgw.dataplane.ends cimport Group

cimport cython


cdef class Credential:
    cdef public object secret
    cdef public bytes line
    cdef public object signer
    cdef public long long rests_until
    cdef public int times
    cdef public bint refused
    cpdef rest(self, long long tick, object seconds, long long tick_ms)
    cpdef refuse(self, long long tick, long long tick_ms)
    cpdef worked(self)


cdef class Source:
    cdef public object provider
    cdef public Group group
    cdef public bytes lines
    cdef public bytes version
    cdef public list credentials
    cdef public Py_ssize_t turn
    cpdef _equip(self, Credential credential)
    @cython.locals(count=Py_ssize_t, i=Py_ssize_t, at=Py_ssize_t, credential=Credential)
    cpdef Credential credential(self, long long tick, list tried)


cdef class Offer:
    cdef public object candidate
    cdef public Source source
    cdef public int number
    cdef public int rank
    cdef public bytes line


cdef class Choices:
    cdef public object served
    cdef public list left
    cdef public list tried
    cdef public int tries
    cdef public Offer offer
    cdef public Credential credential
    @cython.locals(offer=Offer, credential=Credential)
    cpdef bint next(self, long long tick) except -1
    @cython.locals(first=Offer, second=Offer)
    cpdef Offer _first(self)
    cpdef go_on(self, str cause)
    cpdef drop(self)

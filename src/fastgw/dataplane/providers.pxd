from fastgw._credentials cimport Credentials, Drawn, Standing
from fastgw._usage cimport Tariff
from fastgw.dataplane.ends cimport Group

cimport cython


cdef class Credential:
    cdef public object secret
    cdef public bytes line
    cdef public object signer
    cdef public Standing standing


cdef class Source:
    cdef public object provider
    cdef public Group group
    cdef public bytes lines
    cdef public bytes version
    cdef public list credentials
    cdef public Py_ssize_t turn
    cpdef _equip(self, Credential credential, Credentials table)


cdef class Offer:
    cdef public object candidate
    cdef public Source source
    cdef public int number
    cdef public int rank
    cdef public Tariff tariff
    cdef public bytes line


cdef class Choices:
    cdef public object served
    cdef public list offers
    cdef public long long tokens
    cdef public list left
    cdef public list tried
    cdef public int tries
    cdef public Offer offer
    cdef public Credential credential
    cdef public Drawn drawn
    @cython.locals(offer=Offer)
    cpdef bint next(self) except -1
    @cython.locals(count=Py_ssize_t, i=Py_ssize_t, credential=Credential, drawn=Drawn)
    cpdef bint _take(self, Source source) except -1
    cpdef unsent(self)
    cpdef used(self, long long tokens)
    @cython.locals(first=Offer, second=Offer)
    cpdef Offer _first(self)
    cpdef go_on(self, str cause)
    cpdef drop(self)

from fastgw._credentials cimport Credentials, Drawn, Standing
from fastgw._usage cimport Tariff
from fastgw.ai.calls cimport Call
from fastgw.dataplane.ends cimport Group

cimport cython


cdef class Credential:
    cdef public object secret
    cdef public bytes lines
    cdef public object signer
    cdef public Standing standing


cdef class Source:
    cdef public object provider
    cdef public str name
    cdef public str dialect
    cdef public bytes base_path
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


cdef class Served:
    cdef public object model
    cdef public long long limit_tokens
    cdef public long long max_tokens
    cdef public long long hold_step
    cdef public bint shrink
    cdef public list offers
    cdef public object fallback_on
    cdef public dict having
    @cython.locals(offers=list)
    cpdef list offers_of(self, Call call)


cdef class Endpoint:
    cdef public object operation
    cdef public str rest
    cdef public str dialect
    cdef public bint generates
    cdef public bint posts


cdef class Scopes:
    cdef public object segment
    cdef public dict known


cdef class Models:
    cdef public Scopes scopes
    cdef public bytes base
    cdef public str dialect
    cdef public dict served
    cdef public object hashed
    cdef public list names
    cdef public Served first
    cdef public dict endpoints


@cython.no_gc
cdef class Choices:
    cdef public Served served
    cdef public list offers
    cdef public long long tokens
    cdef public list left
    cdef public list tried
    cdef public int tries
    cdef public Offer offer
    cdef public Credential credential
    cdef public Drawn drawn
    @cython.locals(first=Offer)
    cpdef _open(self, Served served, list offers, long long tokens)
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
    cpdef _leave(self, Offer offer)


@cython.locals(choices=Choices)
cpdef Choices open_choices(Served served, list offers, long long tokens)

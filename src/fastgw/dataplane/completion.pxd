from fastgw._credentials cimport Standing
from fastgw._http cimport RequestHead
from fastgw._targets cimport affinity
from fastgw.dataplane.delivery cimport Delivery
from fastgw.dataplane.ends cimport ClientEnd
from fastgw.dataplane.metering cimport Meter
from fastgw.dataplane.plane cimport Plane
from fastgw.dataplane.providers cimport Choices, Offer, Source
from fastgw.dataplane.service cimport Service

cimport cython

cdef int UNREAD, WAITING
cdef bytes AGENT


cpdef Completion open_completion(Plane plane, ClientEnd client, Service service)


cdef class Completion(Delivery):
    cdef public object models
    cdef public bytes sent_kind
    cdef public bytes said_lines
    cdef public bint names_version
    cdef public object operation
    cdef public object call
    cdef public object unsupported
    cdef public dict affinities

    cpdef _received(self, bytes body)
    cpdef _admit(self, object served)
    @cython.locals(choices=Choices, meter=Meter, offer=Offer, verdict=int)
    cpdef bint _ask_next(self, bint first=*) except -1
    @cython.locals(choices=Choices, source=Source)
    cpdef _ask(self, object sent)
    cpdef bint _repeats(self, int cause)
    @cython.locals(choices=Choices)
    cpdef bint _falls_back(self, str cause) except -1
    cpdef refused(self, int refusal)
    @cython.locals(choices=Choices)
    cpdef _nobody(self)
    @cython.locals(standing=Standing)
    cpdef _blame(self, object failure, int status, long long for_ms)
    cpdef _refused(self, bytes body)

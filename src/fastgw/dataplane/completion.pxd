from fastgw._call cimport Ticket
from fastgw._credentials cimport Standing
from fastgw._http cimport RequestHead, ResponseHead
from fastgw._lines cimport is_spent, request
from fastgw._targets cimport affinity
from fastgw.ai.calls cimport Call
from fastgw.ai.calls cimport read as read_call
from fastgw.ai.relay cimport Asked, Sent
from fastgw.dataplane.delivery cimport Delivery
from fastgw.dataplane.ends cimport ClientEnd
from fastgw.dataplane.metering cimport Meter, open_meter
from fastgw.dataplane.plane cimport Plane
from fastgw.dataplane.providers cimport Choices, Credential, Endpoint, Models, Offer, Served, Source, open_choices
from fastgw.dataplane.service cimport Service

cimport cython

cdef int UNREAD, WAITING


cdef class Completion(Delivery):
    cdef public Models models
    cdef public bytes sent_kind
    cdef public bytes said_lines
    cdef public bint names_version
    cdef public Endpoint endpoint
    cdef public Call call
    cdef public object unsupported
    cdef public dict affinities

    @cython.locals(head=RequestHead, models=Models)
    cpdef _open(self, Plane plane, ClientEnd client, Ticket ticket, Service service)
    @cython.locals(endpoint=Endpoint, call=Call, asked=Asked, served=Served)
    cpdef _received(self, bytes body)
    @cython.locals(asked=Asked, limit=cython.longlong, most=cython.longlong, offers=list, verdict=int)
    cpdef _admit(self, Served served)
    @cython.locals(choices=Choices, meter=Meter, call=Call, offer=Offer, verdict=int, sent=Sent)
    cpdef bint _ask_next(self, bint first=*) except -1
    @cython.locals(choices=Choices, source=Source, credential=Credential, posts=bint)
    @cython.locals(host_line=bytes, lines=bytes, more=bytes)
    cpdef _ask(self, Sent sent)
    cpdef bint _repeats(self, int cause)
    @cython.locals(choices=Choices)
    cpdef bint _falls_back(self, str cause) except -1
    cpdef refused(self, int refusal)
    @cython.locals(choices=Choices)
    cpdef _nobody(self)
    cpdef _heed(self, ResponseHead answer)
    @cython.locals(standing=Standing)
    cpdef _blame(self, object failure, int status, long long for_ms)
    cpdef _refused(self, bytes body)


@cython.locals(call=Completion)
cpdef Completion open_completion(Plane plane, ClientEnd client, Service service)

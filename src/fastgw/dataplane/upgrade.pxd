from fastgw._http cimport RequestHead, ResponseHead
from fastgw.dataplane.ends cimport ClientEnd
from fastgw.dataplane.exchange cimport Exchange
from fastgw.dataplane.plane cimport Plane
from fastgw.dataplane.service cimport Service
from fastgw.dataplane.tunnel cimport Tunnel

cimport cython

cdef int FRAMING_NONE, STREAMING, SWITCHING_PROTOCOLS


cpdef bytes asked_protocols(RequestHead head, Service service)


cpdef Upgrade open_upgrade(Plane plane, ClientEnd client, Service service, bytes protocols)


cdef class Upgrade(Exchange):
    cdef public bytes protocols
    cdef public long long price
    cdef public long long last_tick
    cdef public Tunnel tunnel

    @cython.locals(service=Service, nanos=cython.longlong, verdict=int)
    cpdef Py_ssize_t start(self, bytes data, Py_ssize_t end)
    cpdef bytes _head(self, Py_ssize_t end, Py_ssize_t stop)
    @cython.locals(answer=ResponseHead)
    cpdef _switch(self, long long cost, bytes rest)
    cpdef upstream_late(self)
    cpdef earned(self, long long cost, long long bytes_in, long long bytes_out)
    cpdef over(self, int verdict, long long cost, long long bytes_in, long long bytes_out)
    cpdef leave(self)
    cpdef _end(self, int verdict, int status, bint charge)
    cpdef long long _price(self)

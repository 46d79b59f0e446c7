from fastgw._call cimport Ticket
from fastgw._http cimport ChunkedBody, RequestHead, rest
from fastgw.dataplane.ends cimport ClientEnd
from fastgw.dataplane.exchange cimport Exchange
from fastgw.dataplane.plane cimport Plane
from fastgw.dataplane.service cimport Service

cimport cython

cdef int WAITING


cdef class Intake(Exchange):
    cdef public bytes method
    cdef public bytes target
    cdef public list parts

    @cython.locals(head=RequestHead)
    cpdef _open(self, Plane plane, ClientEnd client, Ticket ticket, Service service)
    @cython.locals(head=RequestHead, stop=Py_ssize_t)
    cpdef Py_ssize_t start(self, bytes data, Py_ssize_t end)
    cpdef _request_part(self, bytes part)
    cpdef _keep_part(self, bytes part)
    cpdef bytes _all_parts(self, bytes last)
    cpdef _received(self, bytes body)

from fastgw._http cimport ChunkedBody, RequestHead
from fastgw.dataplane.exchange cimport Exchange

cimport cython

cdef int WAITING


cdef class Intake(Exchange):
    cdef public bytes method
    cdef public bytes target
    cdef public list parts

    @cython.locals(head=RequestHead, stop=Py_ssize_t)
    cpdef Py_ssize_t start(self, bytes data, Py_ssize_t end)
    @cython.locals(body=bytes)
    cpdef _request_part(self, bytes part)
    cpdef _received(self, bytes body)

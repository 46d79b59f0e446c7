from fastgw._wire cimport send_now
from fastgw.dataplane.deadlines cimport Timed

cimport cython

cdef Py_ssize_t RECORD, FED
cdef int SHAKING, OPEN, SENT, OVER


cdef class TlsLayer(Timed):
    cdef public object loop
    cdef public object protocol
    cdef public object session
    cdef public object incoming
    cdef public object feed
    cdef public object drawn
    cdef public object decipher
    cdef public object encipher
    cdef public object transport
    cdef public int descriptor
    cdef public bint writable
    cdef public int stage
    cdef public bint made
    cdef public bint paused
    cdef public bint parted
    cdef public bint ended
    cdef public bytes behind

    cpdef data_received(self, bytes data)
    cpdef _catch_up(self)
    cpdef _go_on(self)
    cpdef shake_hands(self)
    @cython.locals(pending=Py_ssize_t)
    cpdef _read(self)
    cpdef _end(self)
    cpdef _flush(self)
    @cython.locals(sent=Py_ssize_t)
    cpdef _send(self, bytes out)
    @cython.locals(start=Py_ssize_t)
    cpdef write(self, bytes data)
    cpdef _say_end(self)
    cpdef abort(self)
    cpdef unsendable(self)

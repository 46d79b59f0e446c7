from fastgw._idempotency cimport Idempotency
from fastgw.dataplane.completion cimport Completion
from fastgw.dataplane.idempotent cimport Kept

cimport cython

cdef int ENDED, PLAIN


cdef class FirstCompletion(Completion):
    cdef public Idempotency calls
    cdef public unsigned long long number
    cdef public bytes fingerprint
    cdef public bytes lines
    cdef public Kept kept
    cdef public bint whole
    cdef public bint alone

    cpdef _received(self, bytes body)
    cpdef _answer(self, int verdict, int status, bytes kind, bytes body, bytes lines, bint charge)
    cpdef _hand_out(self, bytes data)
    cpdef _hand_out_last(self, int verdict, bytes data, bint done)
    cpdef _pass_plain(self, bytes data, Py_ssize_t start)
    cpdef _end(self, int verdict, int status, bint charge)
    @cython.locals(body=bytes, lines=bytes)
    cpdef _keep(self)
    cpdef client_gone(self)
    cpdef _give_up(self)

from fastgw._idempotency cimport Idempotency
from fastgw.dataplane.completion cimport Completion

cimport cython

cdef int ENDED, PLAIN
cdef Py_ssize_t ANSWER_MAX


cdef class FirstCompletion(Completion):
    cdef public Idempotency calls
    cdef public unsigned long long number
    cdef public bytes fingerprint
    cdef public bytes lines
    cdef public list kept
    cdef public Py_ssize_t room
    cdef public bint whole
    cdef public bint alone

    cpdef _received(self, bytes body)
    cpdef _answer(self, int verdict, int status, bytes kind, bytes body, bytes lines, bint charge)
    cpdef _hand_out(self, bytes data)
    cpdef _hand_out_last(self, int verdict, bytes data, bint done)
    cpdef _pass_plain(self, bytes data, Py_ssize_t start)
    cpdef _note(self, bytes data)
    cpdef _end(self, int verdict, int status, bint charge)
    @cython.locals(body=bytes, lines=bytes)
    cpdef _keep(self)
    cpdef client_gone(self)
    cpdef _give_up(self)

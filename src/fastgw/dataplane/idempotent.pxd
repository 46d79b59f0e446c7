from fastgw._call cimport Ticket
from fastgw._core cimport Gate
from fastgw._http cimport ChunkedBody, ResponseHead, find_head_end
from fastgw._idempotency cimport Idempotency, idempotency_key
from fastgw.dataplane.ends cimport ClientEnd, UpstreamEnd
from fastgw.dataplane.exchange cimport Exchange
from fastgw.dataplane.plane cimport Plane
from fastgw.dataplane.service cimport Service

cimport cython

cdef int FRAMING_CHUNKED, FRAMING_NONE, BUSY, FULL, KEPT, ENDED, WAITING
cdef Py_ssize_t ANSWER_MAX, CHUNKED_ROOM
cdef bytes REPLAYED, CHUNKED_LINES


cdef class Opening:
    cdef public Exchange exchange
    cdef public int verdict
    cdef public Ticket ticket


@cython.locals(gate=Gate, calls=Idempotency, key=bytes, found=int)
cpdef Opening open_call(Plane plane, ClientEnd client, Service service, int verdict, object plain, object first)


cdef class Kept:
    cdef public list parts
    cdef public Py_ssize_t room
    cpdef note(self, bytes data)


cpdef go_on_alone(Exchange exchange)


cdef class KeyedExchange(Exchange):
    cdef public Idempotency calls
    cdef public unsigned long long number
    cdef public unsigned long long word
    cdef public object digest
    cdef public ChunkedBody bare

    @cython.locals(stop=Py_ssize_t)
    cpdef Py_ssize_t start(self, bytes data, Py_ssize_t end)
    @cython.locals(taken=Py_ssize_t)
    cpdef Py_ssize_t request_data(self, bytes data)
    @cython.locals(part=bytes)
    cpdef _hash(self, bytes data, Py_ssize_t start, Py_ssize_t end)
    cpdef bytes _fingerprint(self)


cdef class FirstCall(KeyedExchange):
    cdef public bytes lines
    cdef public bint dated
    cdef public bint heading
    cdef public Kept kept
    cdef public bint whole
    cdef public bint alone

    @cython.locals(answer=ResponseHead)
    cpdef _frame(self, int status)
    cpdef _pass_on(self, bytes data, bint done)
    cpdef _complete(self, bytes last)
    cpdef _note(self, bytes data)
    cpdef bytes _body(self)
    @cython.locals(calls=Idempotency, body=bytes, lines=bytes)
    cpdef _end(self, int verdict, int status, bint charge)
    cpdef client_gone(self)


cdef class Repetition(KeyedExchange):
    @cython.locals(stop=Py_ssize_t)
    cpdef Py_ssize_t start(self, bytes data, Py_ssize_t end)
    cpdef _choose(self)
    cpdef _take(self, bint fresh)
    @cython.locals(taken=Py_ssize_t)
    cpdef Py_ssize_t request_data(self, bytes data)
    @cython.locals(refusal=int, lines=bytes, body=bytes, out=bytes, dated=bint, keep=bint)
    cpdef _answer(self)


cdef class Nowhere(UpstreamEnd):
    cdef public Plane plane
    cdef public Exchange exchange
    cpdef hold_input(self, bint held)
    cpdef expect(self, long long within_ms)
    cpdef on_deadline(self)
    cpdef give_back(self, bint reusable)


cdef class Nobody(ClientEnd):
    cdef public Plane plane
    cdef public Exchange exchange
    cpdef hold_input(self, bint held)
    cpdef finished(self, bint keep)
    cpdef broken(self)
    cpdef drain(self)

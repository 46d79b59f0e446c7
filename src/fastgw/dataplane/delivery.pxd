from fastgw._call cimport Ticket
from fastgw._http cimport ResponseHead, chunk, rest
from fastgw._lines cimport answer, cost_lines, opening
from fastgw._usage cimport Usage
from fastgw.ai.relay cimport Portion, Relay
from fastgw.dataplane.ends cimport ClientEnd
from fastgw.dataplane.exchange cimport Exchange
from fastgw.dataplane.intake cimport Intake
from fastgw.dataplane.metering cimport Meter
from fastgw.dataplane.plane cimport Plane
from fastgw.dataplane.providers cimport Choices
from fastgw.dataplane.service cimport Service

cimport cython

cdef int FRAMING_CHUNKED, FRAMING_CLOSE, FRAMING_LENGTH, FRAMING_NONE
cdef int ENDED, STREAMING, WAITING
cdef int UNREAD, ERROR, WHOLE, EVENTS, PLAIN
cdef Py_ssize_t ANSWER_MAX, ERROR_MAX
cdef long long LAST_MS
cdef bytes COMMENT, END, EVENT_STREAM, JSON
cdef dict STATUS_LINES


cdef class Delivery(Intake):
    cdef public str dialect
    cdef public bint streams
    cdef public Relay relay
    cdef public Meter meter
    cdef public Choices choices
    cdef public int reading
    cdef public int said
    cdef public bytes kind
    cdef public bytes retry_ms
    cdef public bytes retry_after
    cdef public long long pause_ms
    cdef public bytes upstream_id
    cdef public bint bounded
    cdef public Py_ssize_t size
    cdef public bint counted
    cdef public bint told
    cdef public Usage usage
    cdef public long long balance

    cpdef _open(self, Plane plane, ClientEnd client, Ticket ticket, Service service)
    cpdef answer_data(self, bytes data)
    cpdef Py_ssize_t _answer_head(self, bytes data, Py_ssize_t start, Py_ssize_t end)
    @cython.locals(head=ResponseHead)
    cpdef Py_ssize_t _final_head(self, bytes data, Py_ssize_t end, int status, long long cost)
    @cython.locals(part=bytes, done=bint)
    cpdef _body(self, bytes data, Py_ssize_t start)
    @cython.locals(most=Py_ssize_t, body=bytes)
    cpdef _take_part(self, bytes part, bint done)
    @cython.locals(out=bytes, lines=bytes, relay=Relay, meter=Meter)
    cpdef _whole(self, bytes body)
    @cython.locals(out=bytes)
    cpdef _overflow(self)
    cpdef _refused(self, bytes body)
    cpdef _worked(self)
    cpdef _heed(self, ResponseHead answer)
    cpdef _blame(self, object failure, int status, long long for_ms)
    @cython.locals(keep=bint, out=bytes, line=bytes)
    cpdef _answer(self, int verdict, int status, bytes kind, bytes body, bytes lines, bint charge)
    cpdef bytes _opening(self, int status, bytes kind)
    @cython.locals(meter=Meter, relay=Relay, portions=list, portion=Portion, parts=list, data=bytes, verdict=int)
    cpdef _relay(self, bytes part, bint done)
    @cython.locals(meter=Meter)
    cpdef _hand_out(self, bytes data)
    @cython.locals(chunked=bint, keep=bint)
    cpdef bytes _begin_stream(self, bytes data)
    cpdef bytes _stream_lines(self)
    cpdef _hand_out_last(self, int verdict, bytes data, bint done)
    cpdef _take_end(self, bytes data)
    cpdef _finish(self, bint reusable)
    cpdef _part(self, bint reusable)
    cpdef _stop(self, int verdict, list parts)
    cpdef bytes probe(self)
    cpdef _fail(self, str cause, int refusal)
    cpdef bint _falls_back(self, str cause) except -1
    cpdef _cut(self, int verdict, bint charge)
    @cython.locals(meter=Meter, relay=Relay, choices=Choices, usage=Usage, estimated=bint, lines=bytes)
    cpdef bytes _count(self)
    cpdef bytes _told(self)
    cpdef bytes _id_lines(self)
    @cython.locals(keep=bint)
    cpdef _pass_plain(self, bytes data, Py_ssize_t start)
    cpdef _end(self, int verdict, int status, bint charge)

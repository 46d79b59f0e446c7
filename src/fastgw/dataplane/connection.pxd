from fastgw._call cimport Ticket
from fastgw._core cimport Gate
from fastgw._http cimport RequestHead, find_head_end
from fastgw._wire cimport is_quiet
from fastgw.dataplane.bounds cimport Bounds
from fastgw.dataplane.completion cimport open_completion
from fastgw.dataplane.deadlines cimport Wheel
from fastgw.dataplane.ends cimport ClientEnd
from fastgw.dataplane.exchange cimport Exchange
from fastgw.dataplane.idempotent cimport Opening, open_call
from fastgw.dataplane.plane cimport Plane
from fastgw.dataplane.service cimport Service
from fastgw.dataplane.upgrade cimport Upgrade, asked_protocols, open_upgrade

cimport cython

cdef Py_ssize_t STASH_MAX, SKIP_MAX, LINGER_MS, LINE_REST, PROBE_MS, PROBE_SOON_MS, PROBES
cdef bytes CONTINUE, NOTHING, RESET
cdef int FRAMING_CLOSE


cdef class Connection(ClientEnd):
    cdef public Plane plane
    cdef public object door
    cdef public object told
    cdef public Gate gate
    cdef public Exchange exchange
    cdef public bytes stash
    cdef public Py_ssize_t searched
    cdef public Py_ssize_t skip
    cdef public long long body_tick
    cdef public long long held_tick
    cdef public bint reading
    cdef public bint partial
    cdef public int probes
    cdef public bint closing
    cdef public bint wishing
    cdef public int granted

    @cython.locals(taken=Py_ssize_t, exchange=Exchange)
    cpdef data_received(self, bytes data)
    @cython.locals(plane=Plane, position=Py_ssize_t, searched=Py_ssize_t, taken=Py_ssize_t, end=Py_ssize_t, moved=bint)
    cpdef _serve(self, bytes data)
    @cython.locals(bounds=Bounds, wheel=Wheel, within_ms=cython.longlong, allowed_ms=cython.longlong)
    cpdef _await_body(self)
    @cython.locals(plane=Plane, length=Py_ssize_t, first=int, line=Py_ssize_t)
    cpdef _wait_for_head(self, bytes data, Py_ssize_t position)
    @cython.locals(gate=Gate, head=RequestHead, scan=int, verdict=int, shift=Py_ssize_t, service=Service,
                   protocols=bytes)
    cpdef Py_ssize_t _request(self, bytes data, Py_ssize_t start, Py_ssize_t end)
    cpdef int _wish(self, bytes data)
    cpdef tag_answered(self, int refusal)
    @cython.locals(opening=Opening)
    cpdef Py_ssize_t _keyed(self, Service service, int verdict, bytes data, Py_ssize_t end)
    @cython.locals(head=RequestHead, stop=Py_ssize_t)
    cpdef Py_ssize_t _begin(self, Exchange exchange, bytes data, Py_ssize_t end)
    @cython.locals(head=RequestHead, body=Py_ssize_t, taken=Py_ssize_t, known=bint)
    cpdef Py_ssize_t _refuse(self, int verdict, bytes data, Py_ssize_t end, bint close, Ticket ticket=*)
    @cython.locals(out=bytes)
    cpdef bytes _void(self, Ticket ticket, int verdict, bint close)
    cpdef _refuse_unasked(self, int refusal)
    cpdef _watch(self)
    @cython.locals(exchange=Exchange, probe=bytes)
    cpdef _probe(self)
    cpdef _linger(self, bint all_read)
    cpdef _next(self)
    cpdef _read(self, bint wanted)
    @cython.locals(exchange=Exchange)
    cpdef broken(self)
    cpdef bint drain(self)

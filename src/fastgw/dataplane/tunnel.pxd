from fastgw._call cimport Ticket
from fastgw._core cimport Gate
from fastgw._frames cimport Frames
from fastgw.dataplane.deadlines cimport Timed, Wheel
from fastgw.dataplane.ends cimport ClientEnd, End, UpstreamEnd

cimport cython

cdef long long MIB, NOTED, MINUTE_MS, LINGER_MS
cdef int GOING_AWAY, POLICY_VIOLATION, TRY_AGAIN_LATER
cdef bytes RESET


cpdef object price_of_bytes(object count, object mib_price)


cdef class TunnelEnd(End):
    cdef public Tunnel tunnel
    cdef public object former
    cdef public TunnelEnd other
    cdef public Frames frames
    cdef public long long received
    cdef public bint held
    cdef public bint ended
    cdef public bint shut
    cdef public bint gone
    cdef public long long since
    cdef public Py_ssize_t waiting

    @cython.locals(tunnel=Tunnel)
    cpdef data_received(self, bytes data)
    cpdef hold(self, bint held)
    cpdef bint shut_down(self)
    cpdef say_goodbye(self, int code, bytes reason, bint masked)
    cpdef cut(self)
    @cython.locals(before=Py_ssize_t)
    cpdef bint is_stuck(self, long long ticks)


cdef class Tunnel(Timed):
    cdef public object upgrade
    cdef public Gate gate
    cdef public Ticket ticket
    cdef public Wheel wheel
    cdef public bint closing
    cdef public long long opened
    cdef public long long moved
    cdef public long long idle_ticks
    cdef public long long write_ticks
    cdef public long long last_tick
    cdef public long long minute_ticks
    cdef public long long minute_price
    cdef public long long minutes
    cdef public long long mib_price
    cdef public bint metered
    cdef public long long paid
    cdef public long long noted
    cdef public object held
    cdef public TunnelEnd client
    cdef public TunnelEnd upstream

    @cython.locals(client=ClientEnd, upstream=UpstreamEnd, end=TunnelEnd)
    cpdef open(self, bytes head, bytes rest)
    @cython.locals(other=TunnelEnd)
    cpdef bint half_closed(self, TunnelEnd end)
    cpdef lost(self, TunnelEnd end)
    cpdef leave(self)
    cpdef _cut(self, int verdict)
    cpdef drain(self)
    cpdef _close(self, int verdict, int code, bytes reason)
    cpdef _refuse(self, int verdict)
    cpdef _settle(self, int verdict)
    @cython.locals(begun=cython.longlong)
    cpdef object _cost(self)
    cpdef carried(self)
    cpdef _earn(self)
    @cython.locals(total=cython.longlong, paid=cython.longlong, verdict=int)
    cpdef bint pay(self, Py_ssize_t count)
    @cython.locals(tick=cython.longlong, begins=cython.longlong, end=TunnelEnd)
    cpdef watch(self)
    @cython.locals(tick=cython.longlong)
    cpdef on_deadline(self)
    cpdef bint _is_idle(self)
    @cython.locals(verdict=int)
    cpdef _hold_minute(self)

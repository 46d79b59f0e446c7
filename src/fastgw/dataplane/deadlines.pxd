cimport cython

cdef long long FAR_TICKS


cdef class Timed:
    cdef public long long deadline
    cdef public long long enlisted
    cpdef on_deadline(self)


cdef class Wheel:
    cdef public long long tick_ms
    cdef public long long tick
    cdef public dict slots
    @cython.locals(deadline=cython.longlong, place=cython.longlong)
    cpdef arm(self, Timed item, long long after_ms)
    cpdef disarm(self, Timed item)
    cpdef enlist(self, Timed item, long long tick)
    cpdef turn(self, long long clock_ms)

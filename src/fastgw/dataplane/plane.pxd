from fastgw._core cimport Gate
from fastgw._http cimport ResponseHead
from fastgw.dataplane.deadlines cimport Wheel


cdef class Plane:
    cdef public object loop
    cdef public Gate gate
    cdef public ResponseHead answer
    cdef public Wheel wheel
    cdef public set clients
    cdef public bint draining
    cdef public Py_ssize_t url_max
    cdef public Py_ssize_t head_max
    cdef public long long body_max
    cdef public Py_ssize_t connections_max
    cdef public long long head_ms
    cdef public long long body_ms
    cdef public long long idle_ms
    cdef public long long write_ms
    cdef public long long first_byte_ms
    cdef public long long stream_ms
    cdef public long long total_ms
    cdef public list by_route
    cdef public list upstreams
    cdef public object _second
    cdef public object _timer

cdef class Bounds:
    cdef public Py_ssize_t url_max
    cdef public Py_ssize_t head_max
    cdef public long long body_max
    cdef public long long body_rate
    cdef public long long memory_max
    cdef public Py_ssize_t connections_max
    cdef public long long head_ms
    cdef public long long body_ms
    cdef public long long idle_ms
    cdef public long long write_ms
    cdef public long long first_byte_ms
    cdef public long long stream_ms
    cdef public long long total_ms
    cdef public long long tunnel_idle_ms
    cdef public long long hold_ms

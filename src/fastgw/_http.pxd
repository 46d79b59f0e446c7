from fastgw.kernels.chunked cimport chunked_t
from fastgw.kernels.head cimport head_t


cdef class RequestHead:
    cdef head_t h
    cdef bytes data
    cdef const char* at
    cdef readonly int minor
    cdef readonly int length
    cdef readonly int target_length
    cdef readonly long long content_length
    cdef readonly bint chunked
    cdef readonly bint keep_alive
    cdef readonly bint expects_continue
    cdef readonly bint head_method
    cdef readonly bint idempotent
    cdef readonly bint upgrade
    cdef int fields_max
    cdef bytes key_header
    cpdef int scan(self, bytes data, Py_ssize_t start, Py_ssize_t end)
    cdef int find_key(self, const char** found, size_t* size) noexcept
    cdef int find_tag(self, const char** found, size_t* size) noexcept
    cpdef bytes host(self)
    cpdef bytes value(self, bytes name)
    cpdef bytes lines(self, bytes name)
    cpdef bytes read_method(self)
    cpdef bytes read_target(self)


cdef class ResponseHead:
    cdef head_t h
    cdef bytes data
    cdef const char* at
    cdef readonly int status
    cdef readonly int minor
    cdef readonly int length
    cdef readonly long long content_length
    cdef readonly bint chunked
    cdef readonly bint keep_alive
    cdef readonly bint dated
    cdef readonly int idle_s
    cpdef int scan(self, bytes data, Py_ssize_t start, Py_ssize_t end)
    cdef int _idle_s(self) noexcept
    cpdef long long take_cost(self, bytes name, long long unit_price)
    cpdef bytes value(self, bytes name)
    cpdef bytes render(self, bytes extra, int framing, Py_ssize_t body_start, Py_ssize_t body_end)


cdef class ChunkedBody:
    cdef chunked_t c
    cdef readonly Py_ssize_t taken
    cdef readonly bint done
    cdef readonly bint broken
    cdef readonly long long payload
    cpdef bytes feed(self, bytes data, Py_ssize_t start, bint reframe)


cpdef Py_ssize_t find_head_end(bytes data, Py_ssize_t start)
cpdef bytes chunk(bytes data, Py_ssize_t start, Py_ssize_t end, bint last)
cpdef bytes rest(bytes data, Py_ssize_t start)

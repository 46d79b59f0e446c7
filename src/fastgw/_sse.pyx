# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: embedsignature=True, embedsignature.format=clinic
"""Decides of bytes of a stream whether they are one plain server-sent event, as nearly all that come are."""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memchr, memcmp

from fastgw.kernels.octets cimport memmem

cdef enum:
    CR = 13
    LF = 10


cpdef bint is_event(bytes data) noexcept:
    """Whether it is all of one event, and nothing else, with lines that end as nearly everybody ends them."""
    cdef const char* at = PyBytes_AS_STRING(data)
    cdef Py_ssize_t length = PyBytes_GET_SIZE(data)
    return (length > 2 and memmem(at, length, b"\n\n", 2) == at + length - 2 and memchr(at, CR, length) is NULL)


cpdef list cut(bytes data):
    """Its events, with what follows the last of them, if anything does; None where it has lines of another end."""
    cdef const char* at = PyBytes_AS_STRING(data)
    cdef const char* end = at + PyBytes_GET_SIZE(data)
    cdef const char* blank
    cdef list events
    if memchr(at, CR, end - at) is not NULL:
        return None
    events = []
    while at < end:
        blank = <const char*>memmem(at, end - at, b"\n\n", 2)
        if blank is NULL:
            blank = end - 2
        events.append(at[:blank + 2 - at])
        at = blank + 2
    return events


cpdef Py_ssize_t data_at(bytes block) noexcept:
    """Where the data of an event begins that `is_event` and has one line of data, behind one with its name at most; it
    ends two bytes before the end. -1: it is another one."""
    cdef const char* at = PyBytes_AS_STRING(block)
    cdef Py_ssize_t length = PyBytes_GET_SIZE(block)
    cdef Py_ssize_t start = 0
    cdef const char* line
    if length < 8 or memchr(at, CR, length) is not NULL:
        return -1
    if memcmp(at, b"data: ", 6) != 0:
        line = <const char*>memchr(at, LF, length)
        if line is NULL:
            return -1
        start = line + 1 - at
        if length - start < 8 or memcmp(at + start, b"data: ", 6) != 0:
            return -1
    if memchr(at + start, LF, length - start) != at + length - 2:
        return -1
    return start + 6

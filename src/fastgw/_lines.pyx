# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: embedsignature=True, embedsignature.format=clinic
"""Decides the bytes of what a provider of models is asked, and of what its answer tells the caller, each in one go."""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport uint32_t

from fastgw._http cimport ResponseHead
from fastgw.kernels.head cimport field_t
from fastgw.kernels.octets cimport same_lower
from fastgw.kernels.render cimport MONEY_BYTES, put_bytes, put_decimal, put_money

cdef enum:
    NUMBER_BYTES = 20           # of the longest
    WORDS_BYTES = 256           # of what is written here between what is given, more than enough


cdef inline char* _put(char* to, bytes data) noexcept:
    return put_bytes(to, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


cpdef bytes request(bytes method, bytes base, str path, bytes host_line, bytes lines, bytes more, bint streams,
                    bytes kind, bint posts, bytes body):
    """A request to `path` below `base`, with the lines of its Host, `lines`, `more`, and those that all have.

    `kind` is the body's Content-Type, b"" where it has none; one that `posts` says how long its body is though there is
    nothing in it.
    """
    cdef Py_ssize_t length
    cdef const char* below = PyUnicode_AsUTF8AndSize(path, &length)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(body)
    cdef Py_ssize_t room = (PyBytes_GET_SIZE(method) + PyBytes_GET_SIZE(base) + length + PyBytes_GET_SIZE(host_line)
                            + PyBytes_GET_SIZE(lines) + PyBytes_GET_SIZE(more) + PyBytes_GET_SIZE(kind)
                            + NUMBER_BYTES + WORDS_BYTES + size)
    cdef bytes out = PyBytes_FromStringAndSize(NULL, room)
    cdef char* start = PyBytes_AS_STRING(out)
    cdef char* to = _put(start, method)
    to = _put(put_bytes(to, b" ", 1), base)
    to = put_bytes(put_bytes(to, below, length), b" HTTP/1.1\r\n", 11)
    to = _put(_put(_put(to, host_line), lines), more)
    if streams:
        to = put_bytes(to, b"Accept: text/event-stream\r\n", 27)
    else:
        to = put_bytes(to, b"Accept: */*\r\n", 13)
    to = put_bytes(to, b"Accept-Encoding: identity\r\nUser-Agent: fastgw\r\n", 47)
    if PyBytes_GET_SIZE(kind):
        to = put_bytes(_put(put_bytes(to, b"Content-Type: ", 14), kind), b"\r\n", 2)
    if size or posts:
        to = put_bytes(put_decimal(put_bytes(to, b"Content-Length: ", 16), size), b"\r\n", 2)
    to = _put(put_bytes(to, b"\r\n", 2), body)
    return PyBytes_FromStringAndSize(start, to - start)


cpdef bytes answer(bytes status_line, bytes kind, bytes lines, bytes gate_lines, bytes body,
                   bint bare):
    """A whole answer, its body left out if `bare`; the lines are the gateway's own for a call, and for every answer."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(body)
    cdef char number[NUMBER_BYTES]
    cdef Py_ssize_t digits = put_decimal(number, size) - number
    cdef bytes out = PyBytes_FromStringAndSize(NULL, PyBytes_GET_SIZE(status_line) + 16 + PyBytes_GET_SIZE(kind)
                                               + PyBytes_GET_SIZE(lines) + 16 + digits + 2
                                               + PyBytes_GET_SIZE(gate_lines) + 2 + (0 if bare else size))
    cdef char* to = put_bytes(_put(PyBytes_AS_STRING(out), status_line), b"Content-Type: ", 14)
    to = _put(put_bytes(_put(to, kind), b"\r\n", 2), lines)
    to = put_bytes(put_bytes(put_bytes(to, b"Content-Length: ", 16), number, digits), b"\r\n", 2)
    to = put_bytes(_put(to, gate_lines), b"\r\n", 2)
    if not bare:
        _put(to, body)
    return out


cpdef bytes opening(bytes status_line, bytes kind):
    """The first lines of an answer's head."""
    cdef bytes out = PyBytes_FromStringAndSize(NULL, PyBytes_GET_SIZE(status_line) + 16 + PyBytes_GET_SIZE(kind))
    cdef char* to = put_bytes(_put(PyBytes_AS_STRING(out), status_line), b"Content-Type: ", 14)
    put_bytes(_put(to, kind), b"\r\n", 2)
    return out


cpdef bytes cost_lines(long long cost, long long balance, long long tokens_in, long long tokens_out, bytes more):
    """What the call has cost, in nanos, what is left, and what it has used; then the lines `more`."""
    cdef Py_ssize_t room = 2 * MONEY_BYTES + 2 * NUMBER_BYTES + WORDS_BYTES + PyBytes_GET_SIZE(more)
    cdef bytes out = PyBytes_FromStringAndSize(NULL, room)
    cdef char* start = PyBytes_AS_STRING(out)
    cdef char* to = put_money(put_bytes(start, b"X-Fastgw-Cost: ", 15), cost)
    to = put_money(put_bytes(to, b"\r\nX-Fastgw-Balance: ", 20), balance)
    to = put_decimal(put_bytes(to, b"\r\nX-Fastgw-Tokens: in=", 22), tokens_in)
    to = put_decimal(put_bytes(to, b", out=", 6), tokens_out)
    to = _put(put_bytes(to, b"\r\n", 2), more)
    return PyBytes_FromStringAndSize(start, to - start)


cdef inline bint _of_limits(const char* name, size_t length) noexcept:
    return ((length > 12 and same_lower(name, b"x-ratelimit-", 12))
            or (length > 20 and same_lower(name, b"anthropic-ratelimit-", 20)))


cpdef bint is_spent(ResponseHead head) noexcept:
    """Whether any field of a provider's own limits is 0, as what is left of one is that is used up."""
    cdef uint32_t i
    cdef field_t* f
    for i in range(head.h.fields):
        f = &head.h.field[i]
        if f.end - f.value == 1 and head.at[f.value] == 48 and _of_limits(head.at + f.name, f.name_length):
            return True
    return False

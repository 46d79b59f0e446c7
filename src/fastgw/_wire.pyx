# cython: language_level=3
"""Sends what a socket takes at once, and looks whether anything has come: what is asked of it past the event loop.

A transport's own `write` goes through a queue that is nearly always empty. What makes this safe is the caller's to
keep: the descriptor is that of a transport whose `connection_lost` has not been called, and nothing waits in its
buffer.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, EINTR, errno

cdef extern from "<sys/socket.h>" nogil:
    int MSG_DONTWAIT
    int MSG_NOSIGNAL
    int MSG_PEEK
    Py_ssize_t send(int descriptor, const void* data, size_t length, int flags)
    Py_ssize_t recv(int descriptor, void* data, size_t length, int flags)


cpdef Py_ssize_t send_now(int descriptor, bytes data):
    """Bytes that the socket took, from none to all, or -1 when the connection is broken (send(2))."""
    cdef Py_ssize_t sent
    while True:
        sent = send(descriptor, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), MSG_DONTWAIT | MSG_NOSIGNAL)
        if sent >= 0:
            return sent
        if errno == EAGAIN:
            return 0
        if errno != EINTR:
            return -1


cpdef bint is_quiet(int descriptor):
    """Whether neither a byte nor an end has come on a socket, and is not read yet."""
    cdef char byte
    return recv(descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 and (errno == EAGAIN or errno == EINTR)

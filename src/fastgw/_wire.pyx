# cython: language_level=3
"""Sends what a socket takes at once: the one system call that the compiled side makes past the event loop.

A transport's own `write` goes through a queue that is nearly always empty. What makes this safe is the caller's to
keep: the descriptor is that of a transport whose `connection_lost` has not been called, and nothing waits in its
buffer.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, EINTR, errno

cdef extern from "<sys/socket.h>" nogil:
    int MSG_DONTWAIT
    int MSG_NOSIGNAL
    Py_ssize_t send(int descriptor, const void* data, size_t length, int flags)


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

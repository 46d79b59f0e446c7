# cython: language_level=3
# cython: embedsignature=True, embedsignature.format=clinic
"""Follows the frames of a WebSocket as they pass, so that a gateway knows when it may say something itself."""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memset

from fastgw.kernels.frames cimport frames_between, frames_feed


cdef class Frames:
    """One direction of a WebSocket, from behind the head on."""

    def __cinit__(self):
        memset(&self.f, 0, sizeof(self.f))

    cpdef void feed(self, bytes data) noexcept:
        """These bytes have passed."""
        frames_feed(&self.f, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))

    cpdef bint between(self) noexcept:
        """Whether the last frame is whole, and a Close was not among them: a control frame may follow (§5.4)."""
        return frames_between(&self.f)

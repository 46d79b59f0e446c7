from fastgw.kernels.frames cimport frames_t


cdef class Frames:
    cdef frames_t f
    cpdef void feed(self, bytes data) noexcept
    cpdef bint between(self) noexcept

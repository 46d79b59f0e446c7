from libc.stdint cimport int64_t

from fastgw.kernels.price cimport wide_t


cdef class Usage:
    cdef public int64_t input
    cdef public int64_t cached
    cdef public int64_t written
    cdef public int64_t written_long
    cdef public int64_t audio_in
    cdef public int64_t image_in
    cdef public int64_t output
    cdef public int64_t reasoning
    cdef public int64_t audio_out
    cdef public int64_t image_out
    cdef public int64_t images
    cdef public int64_t searches
    cdef public int64_t characters
    cdef public int64_t seconds
    cdef tuple _all(self)


cdef class Tariff:
    # in nanos: for a million of tokens or characters, and for each of the others
    cdef int64_t input
    cdef int64_t cached
    cdef int64_t written
    cdef int64_t written_long
    cdef int64_t audio_in
    cdef int64_t image_in
    cdef int64_t output
    cdef int64_t reasoning
    cdef int64_t audio_out
    cdef int64_t image_out
    cdef int64_t characters
    cdef int64_t image
    cdef int64_t search
    cdef int64_t second
    cdef int64_t request
    # where the input is longer
    cdef int64_t above_tokens
    cdef Tariff above
    cdef Tariff _tier(self, int64_t tokens)
    cdef wide_t _millionths(self, Usage usage, int64_t tokens) noexcept
    cpdef long long cost_nanos(self, Usage usage) noexcept


cdef class Fare:
    # at most: of all but the output, in millionths of a nano, and of a token of that at its dearest
    cdef wide_t start
    cdef int64_t each
    # most likely
    cdef wide_t likely_start
    cdef int64_t likely_each
    cpdef rated(self, Tariff tariff, Usage likely, long long input_tokens)
    cpdef long long most_nanos(self, long long tokens) noexcept
    cpdef long long paid_tokens(self, long long nanos, long long most) noexcept
    cpdef long long likely_nanos(self, long long tokens) noexcept

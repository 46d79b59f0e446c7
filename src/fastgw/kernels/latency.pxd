# Decides which bucket of a histogram a latency falls in: four to an octave of microseconds, so within 25 % everywhere.
from libc.stdint cimport int64_t

from fastgw.kernels.layout cimport LATENCY_BUCKETS

cdef extern from *:
    int _clz "__builtin_clzll"(unsigned long long value) noexcept nogil


cdef inline int latency_bucket(int64_t us) noexcept nogil:
    """Bucket 4·o + q holds 2^o · (4 + q) / 4 ≤ us < 2^o · (5 + q) / 4; the first also 0, the last all above."""
    cdef int octave
    if us < 1:
        return 0
    octave = 63 - _clz(us)
    if octave > 30:
        return LATENCY_BUCKETS - 1
    return 4 * octave + <int>(((us << 2) >> octave) & 3)

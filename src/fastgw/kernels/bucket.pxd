# Decides whether a limit has room: a token bucket as GCRA (ITU-T I.371) in one shared word, by compare-and-swap.
#
# The word is the theoretical arrival time (TAT) in *units*: 1/scale of a nanosecond since the segment's epoch. A
# limit of n calls per period has the emission interval period/n; `scale` is chosen so that the interval is a whole
# number of units, which keeps the bound exact: no window of w seconds admits more than burst + rate·w, and a client
# within its rate is never refused. 64-bit units last 9 years at scale 64, the largest one used.
from libc.stdint cimport uint32_t, uint64_t

from fastgw.kernels.atomics cimport cas_u64, load_u64

cdef struct limit_t:
    uint64_t interval       # units between calls at the full rate
    uint64_t tolerance      # units by which calls may come early: (burst - 1) · interval
    uint32_t scale          # units per nanosecond
    uint32_t burst          # calls
    uint64_t window_s       # seconds in which an empty bucket fills, rounded up (the RateLimit field's w)


cdef inline uint64_t bucket_wait_ns(const limit_t* limit, uint64_t tat, uint64_t now_ns) noexcept nogil:
    """Nanoseconds until a call conforms; 0 when it does now."""
    cdef uint64_t now = now_ns * limit.scale
    cdef uint64_t earliest = tat - limit.tolerance if tat > limit.tolerance else 0
    if earliest <= now:
        return 0
    return (earliest - now + limit.scale - 1) // limit.scale


cdef inline uint64_t bucket_take(uint64_t* word, const limit_t* limit, uint64_t now_ns, uint64_t* before,
                                 uint64_t* after) noexcept nogil:
    """Take one call: 0 and the word `before` and `after`, or nothing and the nanoseconds to wait."""
    cdef uint64_t now = now_ns * limit.scale
    cdef uint64_t tat = load_u64(word)
    cdef uint64_t wait
    while True:
        wait = bucket_wait_ns(limit, tat, now_ns)
        if wait:
            return wait
        before[0] = tat
        after[0] = (tat if tat > now else now) + limit.interval
        if cas_u64(word, &tat, after[0]):
            return 0


cdef inline bint bucket_undo(uint64_t* word, uint64_t before, uint64_t after) noexcept nogil:
    """Give back a call just taken, if nobody has touched the bucket since; false leaves it taken.

    Subtracting in the other case could erase a call of somebody else, because a TAT in the past is clipped to now.
    """
    return cas_u64(word, &after, before)


cdef inline uint64_t bucket_remaining(const limit_t* limit, uint64_t tat, uint64_t now_ns) noexcept nogil:
    """Calls that would conform now, all at once."""
    cdef uint64_t now = now_ns * limit.scale
    cdef uint64_t room = now + limit.tolerance + limit.interval
    if tat <= now:
        return limit.burst
    if tat > room:
        return 0
    return (room - tat) // limit.interval

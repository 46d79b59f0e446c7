# Decides whether a limit in tokens has room: the bucket of kernels/bucket.pxd, of which many are taken at once before
# it is known how many are needed, and to which the rest comes back.
#
# Giving back is more than taking off what was put on. A bucket that has been full in between has forgotten what was
# taken before, and taking that off once more would erase what others have taken since. So only that comes back of which
# it is certain that the bucket has not been full since: a call knows the theoretical arrival time that it left behind
# (`after`); others can only have added to it, but for what has come back from them meanwhile (`returned`, which grows
# before `tat` shrinks, so that none is missed; a kill between the two makes it count too much for the calls in flight
# just then). What is left of `after` in the future, less that, bounds what was taken and is not forgotten. Hence in no
# window of w seconds is more drawn and kept than burst + rate·w tokens, whoever gives back what and when; alone on its
# bucket, a call leaves behind exactly what it would have if it had drawn what it needed.
from libc.stdint cimport int64_t, uint64_t

from fastgw.kernels.atomics cimport add_u64, cas_u64, load_u64
from fastgw.kernels.bucket cimport limit_t

cdef enum:
    DEBT_BITS = 60                  # of units: half a year at the largest scale

cdef struct token_bucket_t:         # 16 bytes
    uint64_t tat                    # units, as in kernels/bucket.pxd
    uint64_t returned               # units that have come back, ever, or a little more

cdef struct drawn_t:                # what one call has drawn from one bucket; zeroed: nothing
    uint64_t after                  # `tat` when it had last drawn
    uint64_t returned               # as it was before that
    int64_t tokens                  # all that it has drawn
    int64_t back                    # of them, those that may come back


cdef inline uint64_t tokens_wait_ns(const limit_t* limit, uint64_t tat, uint64_t now_ns, uint64_t count) noexcept nogil:
    """Nanoseconds until `count` ≤ burst tokens conform at once; 0 when they do now."""
    cdef uint64_t room = now_ns * limit.scale + limit.tolerance + limit.interval
    cdef uint64_t after = tat + count * limit.interval
    if after <= room or tat <= now_ns * limit.scale:
        return 0
    return (after - room + limit.scale - 1) // limit.scale


cdef inline int64_t _unforgotten(const drawn_t* d, uint64_t returned, uint64_t now) noexcept nogil:
    """Units of what was drawn that are certainly in the bucket still, when `returned` was read behind its `tat`."""
    return <int64_t>(d.after - now) - <int64_t>(returned - d.returned)


cdef inline uint64_t tokens_take(token_bucket_t* b, const limit_t* limit, uint64_t now_ns, uint64_t count,
                                 drawn_t* d) noexcept nogil:
    """Draw `count` ≤ burst tokens more: 0, or the nanoseconds to wait, and nothing has changed."""
    cdef uint64_t now = now_ns * limit.scale
    cdef uint64_t before, behind, tat, wait, after
    cdef int64_t left
    while True:
        before = load_u64(&b.returned)
        tat = load_u64(&b.tat)
        behind = load_u64(&b.returned)
        wait = tokens_wait_ns(limit, tat, now_ns, count)
        if wait:
            return wait
        after = (tat if tat > now else now) + count * limit.interval
        if cas_u64(&b.tat, &tat, after):
            break
    if d.back:
        left = _unforgotten(d, behind, now)
        left = left // <int64_t>limit.interval if left > 0 else 0
        if left < d.back:
            d.back = left
    d.back += count
    d.tokens += count
    d.after = after
    d.returned = before
    return 0


cdef inline void tokens_return(token_bucket_t* b, const limit_t* limit, uint64_t now_ns, drawn_t* d,
                               int64_t count) noexcept nogil:
    """Give back `count` ≥ 0 of the tokens drawn, as far as the bucket has not forgotten them."""
    cdef uint64_t now = now_ns * limit.scale
    cdef uint64_t tat
    cdef int64_t left, units
    if count > d.back:
        count = d.back
    d.tokens -= count
    d.back -= count
    while True:
        tat = load_u64(&b.tat)
        left = _unforgotten(d, load_u64(&b.returned), now)
        units = count * <int64_t>limit.interval
        if units > left:
            units = left
        if units <= 0 or tat < now + <uint64_t>units:
            return
        add_u64(&b.returned, <uint64_t>units)
        if cas_u64(&b.tat, &tat, tat - <uint64_t>units):
            return


cdef inline void tokens_owe(token_bucket_t* b, const limit_t* limit, uint64_t now_ns, uint64_t count) noexcept nogil:
    """Take `count` tokens that have been used already, whether there is room or not; within half a year."""
    cdef uint64_t now = now_ns * limit.scale
    cdef uint64_t tat = load_u64(&b.tat)
    cdef uint64_t most = (<uint64_t>1 << DEBT_BITS) // limit.interval
    if count > most:
        count = most
    while tat < now + (<uint64_t>1 << DEBT_BITS):
        if cas_u64(&b.tat, &tat, (tat if tat > now else now) + count * limit.interval):
            return


cdef inline uint64_t tokens_remaining(const limit_t* limit, uint64_t tat, uint64_t now_ns) noexcept nogil:
    """Tokens that would conform now, all at once."""
    cdef uint64_t now = now_ns * limit.scale
    cdef uint64_t room = now + limit.tolerance + limit.interval
    if tat <= now:
        return limit.burst
    return (room - tat) // limit.interval if tat < room else 0

# Decides whether a provider may be asked with one of its keys: what all workers know of it, in one cell of 64 bytes.
#
# A key is known by a digest. Its cell is looked for from a place that the digest gives, onwards; an empty one is taken
# by compare-and-swap, so that two workers never take two for it. Where the table is full, the cell that has been used
# least recently is made over; who uses a cell looks first whether it is still that of its key.
#
# `pause` says in one word until when the key is left in peace, and why. When a key that was refused has rested, whoever
# moves the pause on, to when it may be tried again, tries it; the others wait for what comes of that. Nothing here is
# money: what a killed process leaves undone, or two undo of each other, costs a try, or holds a key back for a while.
#
# The limits are those of kernels/bucket.pxd and kernels/tokens.pxd, but of one scale whatever the rate, so that a
# bucket keeps its meaning when the rate is changed.
from libc.stdint cimport UINT64_MAX, int64_t, uint32_t, uint64_t

from fastgw.kernels.atomics cimport add_u64, cas_u64, load_u64, store_u64
from fastgw.kernels.bucket cimport bucket_take, bucket_undo, bucket_wait_ns, limit_t
from fastgw.kernels.tokens cimport drawn_t, token_bucket_t, tokens_return, tokens_take, tokens_wait_ns

cdef enum:
    CREDENTIALS_VERSION = 1
    CREDENTIALS_MAX = 4096
    CREDENTIALS_PAGE = 4096
    CREDENTIALS_SCALE = 64          # units of a bucket in a nanosecond
    NAME_TAKEN = 1                  # of a cell that is being made over

cdef enum why_t:
    WHY_OK = 0
    WHY_RESTING = 1                 # the provider has asked for it, or has no more to give for now
    WHY_REFUSED = 2                 # the provider does not take it
    WHY_UNPAID = 3                  # its account there has no money

cdef enum:                          # bits of a pause
    PAUSE_WHY = 3
    PAUSE_TRIAL = 4                 # somebody tries whether it is taken again
    PAUSE_ONCE = 8                  # of how often it was told to rest, in a row
    PAUSE_TIMES = 0x7f8
    PAUSE_SHIFT = 16                # of the millisecond until which

cdef enum:
    REST_MS = 1_000                 # where no time is named, doubled with each in a row
    REST_MAX_MS = 600_000           # also of what a provider asks for: nobody looks in between
    DISABLED_MS = 600_000           # until a key that was refused is tried again
    TRIAL_MS = 30_000               # until another tries it, if nothing has come of that

cdef struct credentials_header_t:   # one page
    uint64_t magic
    uint64_t version
    uint64_t size

cdef struct credential_t:           # 64 bytes
    uint64_t name
    uint64_t pause                  # 0: none
    uint64_t seen                   # seconds: last used (low half), and since when it is left in peace (high half)
    uint64_t requests               # buckets
    token_bucket_t tokens
    uint64_t calls                  # sent with it
    uint64_t told                   # times that it was told to rest (low half), and was refused (high half)


cdef inline credential_t* _make_over(credential_t* cell, uint64_t name, uint64_t now_s) noexcept nogil:
    """The cell, now of another key; NULL if somebody else was faster."""
    cdef uint64_t before = load_u64(&cell.name)
    if before == name or not cas_u64(&cell.name, &before, NAME_TAKEN):
        return NULL
    cell.pause = 0
    cell.requests = 0
    cell.tokens.tat = 0
    cell.tokens.returned = 0
    cell.calls = 0
    cell.told = 0
    store_u64(&cell.seen, now_s)
    store_u64(&cell.name, name)
    return cell


cdef inline credential_t* credentials_find(credential_t* cells, uint64_t name, uint64_t now_s,
                                           bint make) noexcept nogil:
    """The cell of a key, NULL without one; with `make`, there is one."""
    cdef uint64_t i, word, seen, least
    cdef credential_t* cell
    cdef credential_t* oldest
    while True:
        oldest = cells
        least = UINT64_MAX
        for i in range(CREDENTIALS_MAX):
            cell = cells + ((name + i) % CREDENTIALS_MAX)
            word = load_u64(&cell.name)
            if word == 0 and (not make or cas_u64(&cell.name, &word, name)):
                if make:
                    return cell
                return NULL
            if word == name:
                return cell
            seen = <uint32_t>load_u64(&cell.seen)
            if seen < least:
                least = seen
                oldest = cell
        if not make:
            return NULL
        _make_over(oldest, name, now_s)         # then look again: it is the first of its name that counts


cdef inline void credential_see(credential_t* cell, uint64_t now_s) noexcept nogil:
    """It is used now."""
    cdef uint64_t word = load_u64(&cell.seen)
    if <uint32_t>word != now_s:
        cas_u64(&cell.seen, &word, word >> 32 << 32 | now_s)


# What a provider says of a key

cdef inline bint _rests(uint64_t pause, uint64_t now_ms) noexcept nogil:
    """It is left in peace, and nobody is trying it."""
    return pause >> PAUSE_SHIFT > now_ms and pause & PAUSE_TRIAL == 0


cdef inline void _pause(credential_t* cell, uint64_t before, uint64_t now_ms) noexcept nogil:
    """From now on it is left in peace, or for another reason than before."""
    cdef uint64_t word = load_u64(&cell.seen)
    if before & PAUSE_WHY != load_u64(&cell.pause) & PAUSE_WHY:
        cas_u64(&cell.seen, &word, now_ms // 1_000 << 32 | <uint32_t>word)


cdef inline void credential_rest(credential_t* cell, uint64_t now_ms, uint64_t for_ms) noexcept nogil:
    """Leave it in peace for so long, 0 for a time of our own. Of calls that are told so at once, one counts."""
    cdef uint64_t pause = load_u64(&cell.pause)
    cdef uint64_t until, times
    add_u64(&cell.told, 1)
    if for_ms > REST_MAX_MS:
        for_ms = REST_MAX_MS
    while True:
        until = pause >> PAUSE_SHIFT
        times = pause & PAUSE_TIMES
        if _rests(pause, now_ms):
            if pause & PAUSE_WHY != WHY_RESTING or until >= now_ms + for_ms:
                return
            until = now_ms + for_ms
        else:
            until = REST_MS << (times // PAUSE_ONCE if times < 10 * PAUSE_ONCE else 10)
            if until > REST_MAX_MS:
                until = REST_MAX_MS
            until = now_ms + (for_ms if for_ms else until)
            if times < PAUSE_TIMES:
                times += PAUSE_ONCE
        if cas_u64(&cell.pause, &pause, until << PAUSE_SHIFT | times | <uint64_t>WHY_RESTING):
            _pause(cell, pause, now_ms)
            return


cdef inline void credential_exhaust(credential_t* cell, uint64_t now_ms, uint64_t for_ms) noexcept nogil:
    """It has served, and has nothing more to give for so long."""
    cdef uint64_t pause = load_u64(&cell.pause)
    cdef uint64_t until = now_ms + (for_ms if for_ms < REST_MAX_MS else <uint64_t>REST_MAX_MS)
    while pause & PAUSE_WHY <= WHY_RESTING and pause >> PAUSE_SHIFT < until:
        if cas_u64(&cell.pause, &pause, until << PAUSE_SHIFT | pause & PAUSE_TIMES | <uint64_t>WHY_RESTING):
            _pause(cell, pause, now_ms)
            return


cdef inline void credential_refuse(credential_t* cell, uint64_t now_ms, bint unpaid) noexcept nogil:
    """The provider does not take it, or its account there has no money."""
    cdef uint64_t pause = load_u64(&cell.pause)
    cdef uint64_t why = WHY_UNPAID if unpaid else WHY_REFUSED
    add_u64(&cell.told, <uint64_t>1 << 32)
    while not cas_u64(&cell.pause, &pause, now_ms + DISABLED_MS << PAUSE_SHIFT | why):
        pass
    _pause(cell, pause, now_ms)


cdef inline void credential_worked(credential_t* cell, uint64_t now_ms) noexcept nogil:
    """The provider serves with it. A call that was sent before it was told to rest does not end that."""
    cdef uint64_t pause = load_u64(&cell.pause)
    if pause and not _rests(pause, now_ms):
        cas_u64(&cell.pause, &pause, 0)


# Whether it may be used

cdef inline int64_t credential_wait_ms(credential_t* cell, const limit_t* requests, const limit_t* tokens,
                                       uint64_t now_ns, uint64_t count) noexcept nogil:
    """Milliseconds, rounded up, until a call with so many tokens may be made; 0: now, -1: nobody knows."""
    cdef uint64_t pause = load_u64(&cell.pause)
    cdef uint64_t now_ms = now_ns // 1_000_000
    cdef uint64_t wait = 0
    cdef uint64_t other
    if pause >> PAUSE_SHIFT > now_ms:
        if pause & PAUSE_WHY != WHY_RESTING:
            return -1
        wait = (pause >> PAUSE_SHIFT) * 1_000_000 - now_ns
    if requests.interval:
        other = bucket_wait_ns(requests, load_u64(&cell.requests), now_ns)
        if other > wait:
            wait = other
    if tokens.interval and count:
        other = tokens_wait_ns(tokens, load_u64(&cell.tokens.tat), now_ns, count)
        if other > wait:
            wait = other
    return <int64_t>((wait + 999_999) // 1_000_000)


cdef inline void credential_free(credential_t* cell, const limit_t* tokens, uint64_t now_ns, drawn_t* d,
                                 uint64_t before, uint64_t after) noexcept nogil:
    """Nothing was sent: give back all that was taken, as far as nobody could have been kept back by it."""
    if after:
        bucket_undo(&cell.requests, before, after)
    if tokens.interval:
        tokens_return(&cell.tokens, tokens, now_ns, d, d.tokens)


cdef inline bint _try_again(credential_t* cell, uint64_t pause, uint64_t now_ms) noexcept nogil:
    """Whether it is for us to try a key that was refused."""
    return cas_u64(&cell.pause, &pause, now_ms + TRIAL_MS << PAUSE_SHIFT | PAUSE_TRIAL | pause & PAUSE_WHY)


cdef inline bint credential_take(credential_t* cell, const limit_t* requests, const limit_t* tokens, uint64_t now_ns,
                                 uint64_t count, drawn_t* d, uint64_t* before, uint64_t* after) noexcept nogil:
    """Take a request and `count` ≤ burst tokens, if the key is not left in peace and has room for both.

    `before` and `after` are for `credential_free`; both 0 without a limit.
    """
    cdef uint64_t pause = load_u64(&cell.pause)
    cdef uint64_t now_ms = now_ns // 1_000_000
    before[0] = after[0] = 0
    if pause >> PAUSE_SHIFT > now_ms:
        return False
    if requests.interval and bucket_wait_ns(requests, load_u64(&cell.requests), now_ns):
        return False
    if tokens.interval and count and tokens_take(&cell.tokens, tokens, now_ns, count, d):
        return False
    if requests.interval and bucket_take(&cell.requests, requests, now_ns, before, after):
        tokens_return(&cell.tokens, tokens, now_ns, d, d.tokens)
        return False
    if pause & PAUSE_WHY > WHY_RESTING and not _try_again(cell, pause, now_ms):
        credential_free(cell, tokens, now_ns, d, before[0], after[0])
        return False
    add_u64(&cell.calls, 1)
    return True

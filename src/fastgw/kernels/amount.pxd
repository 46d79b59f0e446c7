# Decides how many nanos an upstream means by the text in which it names what a call has cost. Integers throughout.
from libc.stdint cimport int64_t, uint64_t

cdef enum:
    AMOUNT_DIGITS = 19          # significant digits that fit 64 bits, whatever they are

cdef extern from *:
    """
    #include <stdint.h>
    #define FG_AMOUNT_MAX INT64_MAX
    /* n times 10 to the power of `shift`, any fraction of one counted as one; FG_AMOUNT_MAX for what is larger. */
    static inline int64_t fg_amount_scaled(uint64_t n, int64_t shift, int more) {
        if (n == 0) return more ? 1 : 0;
        for (; shift > 0; shift--)
            if (__builtin_mul_overflow(n, (uint64_t)10, &n)) return FG_AMOUNT_MAX;
        for (; shift < 0; shift++) {
            if (n == 0) break;
            more |= n % 10 != 0;
            n /= 10;
        }
        if (n >= (uint64_t)FG_AMOUNT_MAX) return FG_AMOUNT_MAX;
        return (int64_t)n + (more ? 1 : 0);
    }
    static inline int64_t fg_amount_times(uint64_t units, int64_t price) {
        unsigned __int128 total = (unsigned __int128)units * (uint64_t)price;
        return total > (unsigned __int128)FG_AMOUNT_MAX ? FG_AMOUNT_MAX : (int64_t)total;
    }
    """
    int64_t amount_scaled "fg_amount_scaled"(uint64_t n, int64_t shift, int more) noexcept nogil
    int64_t amount_times "fg_amount_times"(uint64_t units, int64_t price) noexcept nogil


cdef inline int64_t amount_nanos(const char* text, size_t length) noexcept nogil:
    """Nanos in a decimal of the currency's unit, "0.0125" or "1.25e-2"; -1 when it is no such thing, which a sign, a
    space or a bare point is. A fraction of a nano counts as one; what leaves 63 bits is the largest that does not."""
    cdef size_t i = 0
    cdef size_t start
    cdef uint64_t kept = 0
    cdef int digits = 0             # of `kept`, from the first that is not zero
    cdef bint more = False          # what is not kept is not zero
    cdef bint point = False
    cdef bint negative = False
    cdef int64_t shift = 9
    cdef int64_t exponent = 0
    while True:
        start = i
        while i < length and 48 <= text[i] <= 57:
            if digits < AMOUNT_DIGITS:
                kept = kept * 10 + <uint64_t>(text[i] - 48)
                digits += kept != 0
                shift -= point
            else:
                more = more or text[i] != 48
                shift += not point
            i += 1
        if i == start:
            return -1
        if i == length or text[i] != 46 or point:
            break
        point = True
        i += 1
    if i < length and text[i] | 32 == 101:
        i += 1
        if i < length and (text[i] == 43 or text[i] == 45):
            negative = text[i] == 45
            i += 1
        start = i
        while i < length and 48 <= text[i] <= 57:
            if exponent < 100_000:
                exponent = exponent * 10 + (text[i] - 48)
            i += 1
        if i == start:
            return -1
        shift += -exponent if negative else exponent
    return amount_scaled(kept, shift, more) if i == length else -1


cdef inline int64_t amount_of_units(const char* text, size_t length, int64_t price) noexcept nogil:
    """Nanos of a whole number of units at `price` nanos each; -1 when it is none. Bounded like `amount_nanos`."""
    cdef size_t i
    cdef uint64_t units = 0
    cdef bint more = False          # than can be counted
    if length == 0:
        return -1
    for i in range(length):
        if text[i] < 48 or text[i] > 57:
            return -1
        if units > <uint64_t>1_000_000_000_000_000_000:
            more = True
        else:
            units = units * 10 + <uint64_t>(text[i] - 48)
    return amount_times(<uint64_t>-1 if more else units, price)

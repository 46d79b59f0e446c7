# Decides what counted things come to at a price: exactly, in millionths of a nano, which fit no word of 64 bits.
from libc.stdint cimport int64_t

cdef extern from *:
    """
    #include <stdint.h>
    typedef __int128 fg_wide;
    #define FG_MILLION 1000000
    /* More nanos than 63 bits hold: what is beyond costs as much, and sums of such parts do not overflow either. */
    #define FG_WIDE_MAX ((fg_wide)1 << 100)
    static inline fg_wide fg_part(int64_t count, int64_t each) {
        fg_wide total = (fg_wide)count * each;
        return total < 0 ? 0 : total > FG_WIDE_MAX ? FG_WIDE_MAX : total;
    }
    static inline fg_wide fg_whole(int64_t count, int64_t each) {
        fg_wide total = fg_part(count, each);
        return total > FG_WIDE_MAX / FG_MILLION ? FG_WIDE_MAX : total * FG_MILLION;
    }
    static inline fg_wide fg_sum(fg_wide one, fg_wide other) {
        return one + other;
    }
    /* What is left of a whole beside its parts, 0 where they are more. */
    static inline int64_t fg_besides(int64_t whole, int64_t one, int64_t two, int64_t three, int64_t four) {
        fg_wide rest = (fg_wide)whole - one - two - three - four;
        return rest < 0 ? 0 : rest > INT64_MAX ? INT64_MAX : (int64_t)rest;
    }
    /* In nanos, a fraction of one counted as one, and INT64_MAX for what is larger. */
    static inline int64_t fg_nanos(fg_wide millionths) {
        if (millionths <= INT64_MAX - FG_MILLION) return (int64_t)((uint64_t)millionths + FG_MILLION - 1) / FG_MILLION;
        millionths = (millionths + FG_MILLION - 1) / FG_MILLION;
        return millionths > INT64_MAX ? INT64_MAX : (int64_t)millionths;
    }
    /* How many things so many nanos pay for beside what costs `start`: at most `most`, and that where they are free. */
    static inline int64_t fg_count(fg_wide start, int64_t each, int64_t nanos, int64_t most) {
        fg_wide rest = (fg_wide)nanos * FG_MILLION - start;
        if (rest < 0) return 0;
        if (each <= 0) return most;
        if (rest <= INT64_MAX) rest = (int64_t)rest / each;
        else rest /= each;
        return rest < most ? (int64_t)rest : most;
    }
    """
    ctypedef long long wide_t "fg_wide"
    wide_t price_part "fg_part"(int64_t count, int64_t each) noexcept nogil         # of a million at `each` nanos
    wide_t price_whole "fg_whole"(int64_t count, int64_t each) noexcept nogil       # at `each` nanos
    wide_t price_sum "fg_sum"(wide_t one, wide_t other) noexcept nogil
    int64_t price_besides "fg_besides"(int64_t whole, int64_t one, int64_t two, int64_t three,
                                       int64_t four) noexcept nogil
    int64_t price_nanos "fg_nanos"(wide_t millionths) noexcept nogil
    int64_t price_count "fg_count"(wide_t start, int64_t each, int64_t nanos, int64_t most) noexcept nogil

# Decides how integers become bytes in an answer: numbers, money and times, no locale, no allocation.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #ifdef __x86_64__
    #include <emmintrin.h>
    #endif
    static const char fg_hex[] = "0123456789abcdef";
    #define FG_DECIMAL_ROW(t) t "0" t "1" t "2" t "3" t "4" t "5" t "6" t "7" t "8" t "9"
    static const char fg_decimal_pairs[] =
        FG_DECIMAL_ROW("0") FG_DECIMAL_ROW("1") FG_DECIMAL_ROW("2") FG_DECIMAL_ROW("3") FG_DECIMAL_ROW("4")
        FG_DECIMAL_ROW("5") FG_DECIMAL_ROW("6") FG_DECIMAL_ROW("7") FG_DECIMAL_ROW("8") FG_DECIMAL_ROW("9");
    static inline char *fg_put_two(char *out, uint32_t value) {
        memcpy(out, fg_decimal_pairs + 2 * value, 2);
        return out + 2;
    }
    static inline char *fg_put_decimal(char *out, uint64_t value) {
        char digits[20], *first = digits + 20;
        if (value < 10) {
            *out = (char)('0' + value);
            return out + 1;
        }
        for (; value >= 100; value /= 100) fg_put_two(first -= 2, (uint32_t)(value % 100));
        if (value >= 10) out = fg_put_two(out, (uint32_t)value);
        else *out++ = (char)('0' + value);
        for (; first < digits + 20; first += 2, out += 2) memcpy(out, first, 2);
        return out;
    }
    static inline char *fg_put_hex64(char *out, uint64_t value) {
    #ifdef __x86_64__
        const __m128i low = _mm_set1_epi8(15);
        __m128i bytes = _mm_cvtsi64_si128((int64_t)__builtin_bswap64(value));
        __m128i digits = _mm_unpacklo_epi8(_mm_and_si128(_mm_srli_epi16(bytes, 4), low), _mm_and_si128(bytes, low));
        __m128i letters = _mm_and_si128(_mm_cmpgt_epi8(digits, _mm_set1_epi8(9)), _mm_set1_epi8('a' - '0' - 10));
        _mm_storeu_si128((__m128i *)out, _mm_add_epi8(_mm_add_epi8(digits, _mm_set1_epi8('0')), letters));
    #else
        for (int i = 0; i < 16; i++) out[i] = fg_hex[value >> (60 - 4 * i) & 15];
    #endif
        return out + 16;
    }
    """
    const char* HEX "fg_hex"
    char* put_hex64 "fg_put_hex64"(char* out, uint64_t value) noexcept nogil      # sixteen digits
    char* put_two "fg_put_two"(char* out, uint32_t value) noexcept nogil          # 00 … 99
    char* put_decimal "fg_put_decimal"(char* out, uint64_t value) noexcept nogil

cdef enum:
    MONEY_BYTES = 21            # of the longest amount: a sign, ten digits, a point, nine digits
    TIME_BYTES = 20             # of a time: 2026-11-20T13:45:00Z
    TIME_MAX_S = 253402300799   # the last second of the year 9999: RFC 3339 has four digits for a year


cdef inline char* put_bytes(char* out, const char* data, size_t length) noexcept nogil:
    memcpy(out, data, length)
    return out + length


cdef inline char* put_hex(char* out, uint64_t value) noexcept nogil:
    """As many digits as it takes."""
    cdef int shift = 60
    while shift and (value >> shift) == 0:
        shift -= 4
    while shift >= 0:
        out[0] = HEX[(value >> shift) & 15]
        out += 1
        shift -= 4
    return out


cdef inline char* put_money(char* out, int64_t nanos) noexcept nogil:
    """A decimal string of the currency's unit, no trailing zeros: 1_000_000 is 0.001, -500_000_000 is -0.5."""
    cdef uint64_t size = <uint64_t>nanos
    cdef uint64_t units
    cdef uint32_t rest
    if nanos < 0:
        size = 0 - size
        out[0] = 45
        out += 1
    units = size // <uint64_t>1000000000
    rest = <uint32_t>(size - units * <uint64_t>1000000000)
    out = put_decimal(out, units)
    if rest == 0:
        return out
    out[0] = 46
    out = put_two(out + 1, rest // <uint32_t>10000000)
    out = put_two(out, rest // <uint32_t>100000 % <uint32_t>100)
    out = put_two(out, rest // <uint32_t>1000 % <uint32_t>100)
    out = put_two(out, rest // <uint32_t>10 % <uint32_t>100)
    out[0] = <char>(48 + rest % <uint32_t>10)
    while out[0] == 48:
        out -= 1
    return out + 1


cdef inline char* put_time(char* out, int64_t unix_s) noexcept nogil:
    """A time in UTC as RFC 3339 has it; what lies outside 1970 … 9999 is brought to the nearer end."""
    cdef uint64_t seconds = 0 if unix_s < 0 else <uint64_t>unix_s if unix_s < <int64_t>TIME_MAX_S else TIME_MAX_S
    cdef uint32_t days = <uint32_t>(seconds // <uint64_t>86400)
    cdef uint32_t second = <uint32_t>(seconds - days * <uint64_t>86400)
    # Years begin in March here, so that the leap day is a year's last. Day 0 is the first of March of year 0.
    cdef uint32_t day = days + <uint32_t>719468
    cdef uint32_t century = (4 * day + 3) // <uint32_t>146097
    cdef uint32_t year, month
    day -= 146097 * century // <uint32_t>4
    year = (4 * day + 3) // <uint32_t>1461
    day -= 1461 * year // <uint32_t>4
    month = (5 * day + 2) // <uint32_t>153      # 0 is March; five months from there have 153 days, over and over
    day -= (153 * month + 2) // <uint32_t>5
    month += 3
    if month > 12:
        month -= 12
        year += 1
        if year == 100:
            year = 0
            century += 1
    out = put_two(put_two(out, century), year)
    out[0] = 45
    out = put_two(out + 1, month)
    out[0] = 45
    out = put_two(out + 1, day + 1)
    out[0] = 84
    out = put_two(out + 1, second // <uint32_t>3600)
    out[0] = 58
    out = put_two(out + 1, second // <uint32_t>60 % <uint32_t>60)
    out[0] = 58
    out = put_two(out + 1, second % <uint32_t>60)
    out[0] = 90
    return out + 1

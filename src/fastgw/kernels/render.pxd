# Decides how integers become bytes in an answer: numbers, money and times, no locale, no allocation.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    static const char fg_hex[] = "0123456789abcdef";
    #define FG_HEX_ROW(h) \\
        h "0" h "1" h "2" h "3" h "4" h "5" h "6" h "7" h "8" h "9" h "a" h "b" h "c" h "d" h "e" h "f"
    static const char fg_hex_pairs[] =
        FG_HEX_ROW("0") FG_HEX_ROW("1") FG_HEX_ROW("2") FG_HEX_ROW("3") FG_HEX_ROW("4") FG_HEX_ROW("5") FG_HEX_ROW("6")
        FG_HEX_ROW("7") FG_HEX_ROW("8") FG_HEX_ROW("9") FG_HEX_ROW("a") FG_HEX_ROW("b") FG_HEX_ROW("c") FG_HEX_ROW("d")
        FG_HEX_ROW("e") FG_HEX_ROW("f");
    #define FG_DECIMAL_ROW(t) t "0" t "1" t "2" t "3" t "4" t "5" t "6" t "7" t "8" t "9"
    static const char fg_decimal_pairs[] =
        FG_DECIMAL_ROW("0") FG_DECIMAL_ROW("1") FG_DECIMAL_ROW("2") FG_DECIMAL_ROW("3") FG_DECIMAL_ROW("4")
        FG_DECIMAL_ROW("5") FG_DECIMAL_ROW("6") FG_DECIMAL_ROW("7") FG_DECIMAL_ROW("8") FG_DECIMAL_ROW("9");
    static inline char *fg_put_two(char *out, uint32_t value) {
        memcpy(out, fg_decimal_pairs + 2 * value, 2);
        return out + 2;
    }
    static inline char *fg_put_hex64(char *out, uint64_t value) {
        for (int i = 0; i < 8; i++) memcpy(out + 2 * i, fg_hex_pairs + 2 * ((value >> (56 - 8 * i)) & 255), 2);
        return out + 16;
    }
    """
    const char* HEX "fg_hex"
    char* put_hex64 "fg_put_hex64"(char* out, uint64_t value) noexcept nogil      # sixteen digits
    char* put_two "fg_put_two"(char* out, uint32_t value) noexcept nogil          # 00 … 99

cdef enum:
    NANOS_PER_UNIT = 1000000000
    DAY_S = 86400
    MONEY_BYTES = 21            # of the longest amount: a sign, ten digits, a point, nine digits
    TIME_BYTES = 20             # of a time: 2026-11-20T13:45:00Z
    TIME_MAX_S = 253402300799   # the last second of the year 9999: RFC 3339 has four digits for a year


cdef inline char* put_bytes(char* out, const char* data, size_t length) noexcept nogil:
    memcpy(out, data, length)
    return out + length


cdef inline char* put_decimal(char* out, uint64_t value) noexcept nogil:
    cdef char digits[20]
    cdef int n = 0
    while True:
        digits[n] = <char>(48 + value % 10)
        n += 1
        value //= 10
        if value == 0:
            break
    while n:
        n -= 1
        out[0] = digits[n]
        out += 1
    return out


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
    cdef uint32_t rest
    cdef char* end
    if nanos < 0:
        size = 0 - size
        out[0] = 45
        out += 1
    rest = <uint32_t>(size % NANOS_PER_UNIT)
    out = put_decimal(out, size // NANOS_PER_UNIT)
    if rest == 0:
        return out
    out[0] = 46
    out = put_two(out + 1, rest // 10000000)
    out = put_two(out, rest // 100000 % 100)
    out = put_two(out, rest // 1000 % 100)
    out = put_two(out, rest // 10 % 100)
    out[0] = <char>(48 + rest % 10)
    end = out + 1
    while end[-1] == 48:
        end -= 1
    return end


cdef inline char* put_time(char* out, int64_t unix_s) noexcept nogil:
    """A time in UTC as RFC 3339 has it; what lies outside 1970 … 9999 is brought to the nearer end."""
    cdef uint64_t seconds = 0 if unix_s < 0 else <uint64_t>unix_s if unix_s < <int64_t>TIME_MAX_S else TIME_MAX_S
    cdef uint32_t second = <uint32_t>(seconds % DAY_S)
    # Years begin in March here, so that the leap day is a year's last. Day 0 is the first of March of year 0.
    cdef uint32_t day = <uint32_t>(seconds // DAY_S) + 719468
    cdef uint32_t century = (4 * day + 3) // 146097
    cdef uint32_t year, month
    day -= 146097 * century // 4
    year = (4 * day + 3) // 1461
    day -= 1461 * year // 4
    month = (5 * day + 2) // 153                # 0 is March; five months from there have 153 days, over and over
    day -= (153 * month + 2) // 5
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
    out = put_two(out + 1, second // 3600)
    out[0] = 58
    out = put_two(out + 1, second // 60 % 60)
    out[0] = 58
    out = put_two(out + 1, second % 60)
    out[0] = 90
    return out + 1

# Decides how integers become bytes in a head: decimal and hexadecimal, no locale, no allocation.
from libc.stdint cimport uint8_t, uint64_t
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
    static inline char *fg_put_hex64(char *out, uint64_t value) {
        for (int i = 0; i < 8; i++) memcpy(out + 2 * i, fg_hex_pairs + 2 * ((value >> (56 - 8 * i)) & 255), 2);
        return out + 16;
    }
    """
    const char* HEX "fg_hex"
    char* put_hex64 "fg_put_hex64"(char* out, uint64_t value) noexcept nogil      # sixteen digits


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

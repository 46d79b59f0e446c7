# Decides how integers become bytes in a head: decimal and hexadecimal, no locale, no allocation.
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

cdef extern from *:
    """
    static const char fg_hex[] = "0123456789abcdef";
    static inline char *fg_put_hex64(char *out, uint64_t value) {
        for (int i = 0; i < 16; i++) out[i] = fg_hex[(value >> (60 - 4 * i)) & 15];
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

# Decides what a run of bytes is: the name of a field, a value, a target, an empty line; sixteen bytes at a time where
# the processor can.
from libc.stdint cimport uint8_t

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #ifdef __SSE2__
    #include <emmintrin.h>
    #endif
    static const int8_t fg_hex_value[256] = {
        ['0'] = 1, ['1'] = 2, ['2'] = 3, ['3'] = 4, ['4'] = 5, ['5'] = 6, ['6'] = 7, ['7'] = 8, ['8'] = 9, ['9'] = 10,
        ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
        ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16};
    static const uint8_t fg_token[256] = {
        ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\\''] = 1, ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,
        ['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1, ['~'] = 1,
        ['0' ... '9'] = 1, ['a' ... 'z'] = 1, ['A' ... 'Z'] = 1};
    static const uint8_t fg_host_byte[256] = {
        ['-'] = 1, ['.'] = 1, ['_'] = 1, ['~'] = 1, ['%'] = 1, ['!'] = 1, ['$'] = 1, ['&'] = 1, ['\\''] = 1, ['('] = 1,
        [')'] = 1, ['*'] = 1, ['+'] = 1, [','] = 1, [';'] = 1, ['='] = 1, [':'] = 1, ['['] = 1, [']'] = 1,
        ['0' ... '9'] = 1, ['a' ... 'z'] = 1, ['A' ... 'Z'] = 1};
    /* The first byte that is no part of a field's name (RFC 9110 tchar), or the end. Names are letters, digits, "-" and
       "_" as a rule; these are seen sixteen at a time. */
    static inline const char *fg_name_end(const char *p, const char *end) {
    #ifdef __SSE2__
        while (end - p >= 16) {
            __m128i v = _mm_loadu_si128((const __m128i *)p);
            __m128i lower = _mm_or_si128(v, _mm_set1_epi8(0x20));
            __m128i letter = _mm_and_si128(_mm_cmpgt_epi8(lower, _mm_set1_epi8('a' - 1)),
                                           _mm_cmpgt_epi8(_mm_set1_epi8('z' + 1), lower));
            __m128i digit = _mm_and_si128(_mm_cmpgt_epi8(v, _mm_set1_epi8('0' - 1)),
                                          _mm_cmpgt_epi8(_mm_set1_epi8('9' + 1), v));
            __m128i dash = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('-')), _mm_cmpeq_epi8(v, _mm_set1_epi8('_')));
            int other = 0xffff & ~_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(letter, digit), dash));
            if (other) {
                p += __builtin_ctz(other);
                break;
            }
            p += 16;
        }
    #endif
        while (p < end && fg_token[(unsigned char)*p]) p++;
        return p;
    }
    /* The first control byte other than HTAB, or the end: in a plain head, the CR of the line. */
    static inline const char *fg_line_end(const char *p, const char *end) {
    #ifdef __SSE2__
        const __m128i highest = _mm_set1_epi8(31), tab = _mm_set1_epi8(9), del = _mm_set1_epi8(127);
        while (end - p >= 16) {
            __m128i v = _mm_loadu_si128((const __m128i *)p);
            __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(v, highest), v);
            control = _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(v, tab), control), _mm_cmpeq_epi8(v, del));
            int mask = _mm_movemask_epi8(control);
            if (mask) return p + __builtin_ctz(mask);
            p += 16;
        }
    #endif
        while (p < end && (((unsigned char)*p >= 32 && *p != 127) || *p == 9)) p++;
        return p;
    }
    /* The LF that an empty line follows, or NULL. */
    static inline const char *fg_last_line(const char *p, const char *end) {
    #ifdef __SSE2__
        const __m128i lf = _mm_set1_epi8(10), cr = _mm_set1_epi8(13);
        while (end - p >= 17) {
            __m128i next = _mm_loadu_si128((const __m128i *)(p + 1));
            __m128i empty = _mm_or_si128(_mm_cmpeq_epi8(next, lf), _mm_cmpeq_epi8(next, cr));
            __m128i line = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)p), lf);
            int mask = _mm_movemask_epi8(_mm_and_si128(line, empty));
            if (mask) return p + __builtin_ctz(mask);
            p += 16;
        }
    #endif
        for (; end - p >= 2; p++)
            if (*p == 10 && (p[1] == 10 || p[1] == 13)) return p;
        return 0;
    }
    /* Nonzero when a byte is not visible ASCII, or is "#". */
    static inline int fg_bad_target(const char *p, size_t n) {
        unsigned char bad = 0;
        for (size_t i = 0; i < n; i++) {
            unsigned char c = (unsigned char)p[i];
            bad |= (c < 33) | (c > 126) | (c == '#');
        }
        return bad;
    }
    /* Equal to a lower-case name, whatever the case of p. */
    static inline int fg_same(const char *p, const char *lower, size_t n) {
        unsigned char differ = 0;
        for (size_t i = 0; i < n; i++) {
            unsigned char c = (unsigned char)p[i];
            c |= (unsigned char)((c >= 'A') & (c <= 'Z')) << 5;
            differ |= c ^ (unsigned char)lower[i];
        }
        return !differ;
    }
    /* Equal, in a time that depends on the length alone. */
    static inline int fg_same_secret(const char *p, const char *q, size_t n) {
        unsigned char differ = 0;
        for (size_t i = 0; i < n; i++) differ |= (unsigned char)p[i] ^ (unsigned char)q[i];
        return !differ;
    }
    /* Methods that httptools takes with HTTP/1, besides those of method_t; case-sensitive. */
    static inline int fg_known_method(const char *p, size_t n) {
        static const char *const names[] = {
            "ACL", "BIND", "CHECKOUT", "COPY", "LINK", "LOCK", "MERGE", "MKACTIVITY", "MKCALENDAR", "MKCOL", "MOVE",
            "NOTIFY",
            "PROPFIND", "PROPPATCH", "PURGE", "QUERY", "REBIND", "REPORT", "SEARCH", "SOURCE", "SUBSCRIBE", "UNBIND",
            "UNLINK", "UNLOCK", "UNSUBSCRIBE"};
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
            if (strlen(names[i]) == n && memcmp(names[i], p, n) == 0) return 1;
        return 0;
    }
    #define FG_IS(p, n, name) ((n) == sizeof(name) - 1 && fg_same(p, name, sizeof(name) - 1))
    /* Equal to a lower-case name of letters and "-", for a name that is known to be a token: in a token, setting bit 5
       turns no other byte into a letter or "-". */
    static inline int fg_same_token(const char *p, const char *lower, size_t n) {
        const uint64_t low = 0x2020202020202020ULL;
        uint64_t a, b;
        if (n < 8) return fg_same(p, lower, n);
        for (size_t i = 0; i + 8 < n; i += 8) {
            memcpy(&a, p + i, 8);
            memcpy(&b, lower + i, 8);
            if ((a | low) != b) return 0;
        }
        memcpy(&a, p + n - 8, 8);
        memcpy(&b, lower + n - 8, 8);
        return (a | low) == b;
    }
    #define FG_NAMED(p, n, name) ((n) == sizeof(name) - 1 && fg_same_token(p, name, sizeof(name) - 1))
    """
    const signed char* HEX_VALUE "fg_hex_value"      # digit + 1; 0: no digit
    const uint8_t* TOKEN "fg_token"                  # RFC 9110 tchar
    const uint8_t* HOST_BYTE "fg_host_byte"          # RFC 3986 host and port
    void* memmem(const void* text, size_t length, const void* part, size_t size) noexcept nogil
    const char* name_end "fg_name_end"(const char* data, const char* end) noexcept nogil
    const char* line_end "fg_line_end"(const char* data, const char* end) noexcept nogil
    bint bad_target "fg_bad_target"(const char* data, size_t length) noexcept nogil
    bint same_lower "fg_same"(const char* data, const char* lower, size_t length) noexcept nogil
    bint same_secret "fg_same_secret"(const char* data, const char* other, size_t length) noexcept nogil
    bint known_method "fg_known_method"(const char* name, size_t length) noexcept nogil
    const char* last_line "fg_last_line"(const char* data, const char* end) noexcept nogil
    bint named "FG_NAMED"(const char* name, size_t length, const char* literal) noexcept nogil
    bint equals "FG_IS"(const char* data, size_t length, const char* literal) noexcept nogil

# Decides where the values of a JSON text lie (RFC 8259), where it is plain; any other is for a library.
#
# Plain is what nearly everybody sends: well-formed, with names of ASCII without escapes where names matter, and nested
# no deeper than JSON_DEPTH. What is taken for plain here is taken by every strict reader, and for the same.
#
# All of it works on `p` up to `end`, and answers with what is behind the value, NULL for what is not plain.

cdef enum:
    JSON_DEPTH = 64

cdef extern from *:
    """
    #include <stdint.h>
    #include <stddef.h>
    #ifdef __SSE2__
    #include <emmintrin.h>
    #endif
    /* The first quote, backslash or control byte, or the end; nearly all of a text is neither, and seen sixteen bytes
       at a time. */
    static inline const char *fg_json_text(const char *p, const char *end) {
    #ifdef __SSE2__
        const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8(92), highest = _mm_set1_epi8(31);
        while (end - p >= 16) {
            __m128i v = _mm_loadu_si128((const __m128i *)p);
            __m128i found = _mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, slash));
            found = _mm_or_si128(found, _mm_cmpeq_epi8(_mm_min_epu8(v, highest), v));
            int mask = _mm_movemask_epi8(found);
            if (mask) return p + __builtin_ctz(mask);
            p += 16;
        }
    #endif
        while (p < end && (unsigned char)*p >= 32 && *p != '"' && *p != 92) p++;
        return p;
    }
    /* The closing quote of a name of ASCII without escapes, whose opening one is before p. */
    static inline const char *fg_json_name(const char *p, const char *end) {
    #ifdef __SSE2__
        const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8(92), highest = _mm_set1_epi8(31);
        while (end - p >= 16) {
            __m128i v = _mm_loadu_si128((const __m128i *)p);
            int quotes = _mm_movemask_epi8(_mm_cmpeq_epi8(v, quote));
            int odd = _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(v, _mm_cmpeq_epi8(v, slash)),
                                                     _mm_cmpeq_epi8(_mm_min_epu8(v, highest), v)));
            if (quotes) return odd & (quotes ^ (quotes - 1)) ? NULL : p + __builtin_ctz(quotes);
            if (odd) return NULL;
            p += 16;
        }
    #endif
        for (; p < end && *p != '"'; p++)
            if ((unsigned char)(*p - 32) >= 96 || *p == 92) return NULL;
        return p < end ? p : NULL;
    }
    static inline int fg_json_hex(const char *p) {          /* four digits: their value, -1 for others */
        int value = 0;
        for (int i = 0; i < 4; i++) {
            unsigned char c = (unsigned char)p[i], lower = c | 32;
            if (c >= '0' && c <= '9') value = value << 4 | (c - '0');
            else if (lower >= 'a' && lower <= 'f') value = value << 4 | (lower - 'a' + 10);
            else return -1;
        }
        return value;
    }
    static inline const char *fg_json_space(const char *p, const char *end) {
        while (p < end && (*p == ' ' || *p == 10 || *p == 13 || *p == 9)) p++;
        return p;
    }
    /* Behind the closing quote; p is behind the opening one. */
    static inline const char *fg_json_string(const char *p, const char *end) {
        for (;;) {
            p = fg_json_text(p, end);
            if (p >= end) return NULL;
            if (*p == '"') return p + 1;
            if (*p != 92 || end - p < 2) return NULL;
            switch (p[1]) {
            case '"': case 92: case '/': case 'b': case 'f': case 'n': case 'r': case 't':
                p += 2;
                break;
            case 'u': {
                int value = end - p < 6 ? -1 : fg_json_hex(p + 2);
                if (value < 0 || (value & 0xfc00) == 0xdc00) return NULL;
                p += 6;
                if ((value & 0xfc00) != 0xd800) break;
                /* Of a character beyond 16 bits, the other half must follow. */
                if (end - p < 6 || *p != 92 || p[1] != 'u' || (fg_json_hex(p + 2) & 0xfc00) != 0xdc00) return NULL;
                p += 6;
                break;
            }
            default:
                return NULL;
            }
        }
    }
    static inline const char *fg_json_digits(const char *p, const char *end) {
        const char *first = p;
        while (p < end && *p >= '0' && *p <= '9') p++;
        return p == first ? NULL : p;
    }
    static inline const char *fg_json_number(const char *p, const char *end) {
        if (p < end && *p == '-') p++;
        if (p < end && *p == '0') p++;
        else if (!(p = fg_json_digits(p, end))) return NULL;
        if (p < end && *p == '.' && !(p = fg_json_digits(p + 1, end))) return NULL;
        if (p < end && (*p | 32) == 'e') {
            p++;
            if (p < end && (*p == '+' || *p == '-')) p++;
            p = fg_json_digits(p, end);
        }
        return p;
    }
    static inline const char *fg_json_word(const char *p, const char *end, const char *word, ptrdiff_t length) {
        return end - p >= length && memcmp(p, word, (size_t)length) == 0 ? p + length : NULL;
    }
    /* What is behind any value, which is well-formed. */
    static const char *fg_json_value(const char *p, const char *end, int depth) {
        if (p >= end) return NULL;
        switch (*p) {
        case '"':
            return fg_json_string(p + 1, end);
        case 't':
            return fg_json_word(p, end, "true", 4);
        case 'f':
            return fg_json_word(p, end, "false", 5);
        case 'n':
            return fg_json_word(p, end, "null", 4);
        case '{': case '[': {
            const char close = *p == '{' ? '}' : ']';
            if (depth == 0) return NULL;
            p = fg_json_space(p + 1, end);
            if (p < end && *p == close) return p + 1;
            for (;;) {
                if (close == '}') {
                    if (p >= end || *p != '"' || !(p = fg_json_string(p + 1, end))) return NULL;
                    p = fg_json_space(p, end);
                    if (p >= end || *p != ':') return NULL;
                    p = fg_json_space(p + 1, end);
                }
                if (!(p = fg_json_value(p, end, depth - 1))) return NULL;
                p = fg_json_space(p, end);
                if (p >= end) return NULL;
                if (*p == close) return p + 1;
                if (*p != ',') return NULL;
                p = fg_json_space(p + 1, end);
            }
        }
        default:
            return fg_json_number(p, end);
        }
    }
    /* Bytes of UTF-8 that a well-formed string between its quotes stands for. */
    static inline ptrdiff_t fg_json_size(const char *p, const char *end) {
        ptrdiff_t size = end - p;
        while (p < end && (p = (const char *)memchr(p, 92, (size_t)(end - p)))) {
            if (p[1] != 'u') {
                size -= 1;
                p += 2;
                continue;
            }
            int value = fg_json_hex(p + 2);
            int pair = (value & 0xfc00) == 0xd800;
            size -= pair ? 8 : value < 0x80 ? 5 : value < 0x800 ? 4 : 3;
            p += pair ? 12 : 6;
        }
        return size;
    }
    """
    const char* json_space "fg_json_space"(const char* p, const char* end) noexcept nogil
    const char* json_name "fg_json_name"(const char* p, const char* end) noexcept nogil
    const char* json_string "fg_json_string"(const char* p, const char* end) noexcept nogil
    const char* json_value "fg_json_value"(const char* p, const char* end, int depth) noexcept nogil
    Py_ssize_t json_size "fg_json_size"(const char* p, const char* end) noexcept nogil

# Decides whether a head is *plain*: whole in the buffer and inside a strict subset of RFC 9112, so that its fields can
# be copied on as they stand. Every other head is left to httptools; nothing is plain here that httptools refuses.
#
# A scan allocates nothing: it notes where each field lies and what it means to a gateway. All offsets count from the
# first byte of the head.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memchr

from fastgw.kernels.octets cimport (
    HOST_BYTE, TOKEN, bad_target, equals, known_method, last_line, line_end, name_end, named, same_lower,
)

cdef enum:
    FIELDS_MAX = 256

cdef enum scan_t:
    SCAN_PLAIN = 0
    SCAN_ODD = 1                # not plain: ask httptools
    SCAN_FIELDS = 2             # more fields than allowed

cdef enum kind_t:               # what a field means to a gateway
    KIND_OTHER = 0
    KIND_HOST
    KIND_CONTENT_LENGTH
    KIND_DATE
    KIND_TRANSFER_ENCODING      # to KIND_REQUEST_ID: what a request does not carry on
    KIND_CONNECTION             # from here to KIND_NOMINATED: hop-by-hop (RFC 9110 §7.6.1), never forwarded
    KIND_KEEP_ALIVE
    KIND_PROXY_CONNECTION
    KIND_TE
    KIND_TRAILER
    KIND_UPGRADE
    KIND_PROXY_AUTHENTICATE
    KIND_NOMINATED              # named by a Connection field
    KIND_EXPECT
    KIND_FORWARDED              # Forwarded, X-Forwarded-*, X-Real-IP: ours to say
    KIND_TAG                    # X-Fastgw-Tag
    KIND_REQUEST_ID
    KIND_AUTHORIZATION
    KIND_API_KEY
    KIND_KEY_HEADER             # the configured one

cdef enum flag_t:
    FLAG_CHUNKED = 1
    FLAG_CLOSE = 2              # Connection: close
    FLAG_KEEP_ALIVE = 4         # Connection: keep-alive
    FLAG_EXPECT_CONTINUE = 8
    FLAG_EXPECT_OTHER = 16
    FLAG_DATE = 32
    FLAG_NOMINATED = 64
    FLAG_KEEP_FOR = 128         # a Keep-Alive field
    FLAG_UPGRADE = 256          # Connection: upgrade
    FLAG_TAG = 512              # X-Fastgw-Tag

cdef enum method_t:
    METHOD_OTHER = 0
    METHOD_GET
    METHOD_HEAD
    METHOD_POST
    METHOD_PUT
    METHOD_DELETE
    METHOD_PATCH
    METHOD_OPTIONS
    METHOD_TRACE
    METHOD_CONNECT

cdef struct field_t:
    uint32_t name
    uint32_t value
    uint32_t end                # of the value, trailing white space left out
    uint16_t name_length
    uint8_t kind
    uint8_t line                # bytes from `end` to the next line, CR LF included, at most 255

cdef struct head_t:
    uint32_t length             # bytes, the empty line included
    uint32_t fields_at          # offset of the first field
    uint32_t fields
    uint32_t flags
    int64_t content_length      # -1: none
    uint32_t method_length
    uint32_t target
    uint32_t target_length
    uint32_t path_length        # up to a "?"
    uint32_t host               # index of the Host field + 1
    uint32_t status             # of a response
    uint8_t method
    uint8_t minor               # HTTP/1.minor
    field_t field[256]

cdef inline int64_t head_end(const char* data, size_t start, size_t length) noexcept nogil:
    """Offset just past the first empty line at or after `start`, or -1. A bare LF ends a line here, so that a head
    that uses one is seen whole, and refused, instead of being waited for."""
    cdef const char* at = data + start
    cdef const char* end = data + length
    while True:
        at = last_line(at, end)
        if at is NULL:
            return -1
        at += 1
        if at[0] == 10:
            return at + 1 - data
        if at + 1 < end and at[1] == 10:
            return at + 2 - data


cdef inline uint8_t field_kind(const char* name, size_t n) noexcept nogil:
    """What a field means, by its name, a token."""
    cdef char first = name[0] | 32
    if first == 99:                                             # c
        if named(name, n, b"content-length"):
            return KIND_CONTENT_LENGTH
        if named(name, n, b"connection"):
            return KIND_CONNECTION
    elif first == 120:                                          # x
        if named(name, n, b"x-api-key"):
            return KIND_API_KEY
        if named(name, n, b"x-request-id"):
            return KIND_REQUEST_ID
        if n > 12 and (name[2] | 32) == 102 and same_lower(name, b"x-forwarded-", 12):
            return KIND_FORWARDED
        if named(name, n, b"x-fastgw-tag"):
            return KIND_TAG
        if named(name, n, b"x-real-ip"):
            return KIND_FORWARDED
    elif first == 100:                                          # d
        if named(name, n, b"date"):
            return KIND_DATE
    elif first == 104:                                          # h
        if named(name, n, b"host"):
            return KIND_HOST
    elif first == 97:                                           # a
        if named(name, n, b"authorization"):
            return KIND_AUTHORIZATION
    elif first == 116:                                          # t
        if named(name, n, b"transfer-encoding"):
            return KIND_TRANSFER_ENCODING
        if named(name, n, b"te"):
            return KIND_TE
        if named(name, n, b"trailer"):
            return KIND_TRAILER
    elif first == 101:                                          # e
        if named(name, n, b"expect"):
            return KIND_EXPECT
    elif first == 107:                                          # k
        if named(name, n, b"keep-alive"):
            return KIND_KEEP_ALIVE
    elif first == 117:                                          # u
        if named(name, n, b"upgrade"):
            return KIND_UPGRADE
    elif first == 102:                                          # f
        if named(name, n, b"forwarded"):
            return KIND_FORWARDED
    elif first == 112:                                          # p
        if named(name, n, b"proxy-connection"):
            return KIND_PROXY_CONNECTION
        if named(name, n, b"proxy-authenticate") or named(name, n, b"proxy-authorization"):
            return KIND_PROXY_AUTHENTICATE
    return KIND_OTHER


cdef inline uint8_t method_of(const char* name, size_t n) noexcept nogil:
    """Methods are case-sensitive (RFC 9110 §9.1)."""
    if n == 3:
        if name[0] == 71 and name[1] == 69 and name[2] == 84:
            return METHOD_GET
        if name[0] == 80 and name[1] == 85 and name[2] == 84:
            return METHOD_PUT
    elif n == 4:
        if name[0] == 80 and name[1] == 79 and name[2] == 83 and name[3] == 84:
            return METHOD_POST
        if name[0] == 72 and name[1] == 69 and name[2] == 65 and name[3] == 68:
            return METHOD_HEAD
    elif n == 5 and name[0] == 80 and name[1] == 65 and name[2] == 84 and name[3] == 67 and name[4] == 72:
        return METHOD_PATCH
    elif n == 5 and name[0] == 84 and name[1] == 82 and name[2] == 65 and name[3] == 67 and name[4] == 69:
        return METHOD_TRACE
    elif (n == 6 and name[0] == 68 and name[1] == 69 and name[2] == 76 and name[3] == 69
            and name[4] == 84 and name[5] == 69):
        return METHOD_DELETE
    elif (n == 7 and name[0] == 79 and name[1] == 80 and name[2] == 84 and name[3] == 73
            and name[4] == 79 and name[5] == 78):
        return METHOD_OPTIONS if name[6] == 83 else METHOD_OTHER
    elif (n == 7 and name[0] == 67 and name[1] == 79 and name[2] == 78 and name[3] == 78
            and name[4] == 69 and name[5] == 67):
        return METHOD_CONNECT if name[6] == 84 else METHOD_OTHER
    return METHOD_OTHER


cdef inline bint _digits(const char* data, size_t n, int64_t* value) noexcept nogil:
    """A decimal of 1 to 18 digits."""
    cdef size_t i
    cdef int64_t total = 0
    if n == 0 or n > 18:
        return False
    for i in range(n):
        if data[i] < 48 or data[i] > 57:
            return False
        total = total * 10 + (data[i] - 48)
    value[0] = total
    return True


cdef inline int keep_alive_s(const char* value, size_t n) noexcept nogil:
    """Seconds of the parameter `timeout` of a Keep-Alive field, at most a day; -1 without a well-formed one."""
    cdef size_t i = 0
    cdef size_t start, stop
    cdef int64_t found = 0
    while i < n:
        while i < n and (value[i] == 32 or value[i] == 9 or value[i] == 44):
            i += 1
        start = i
        while i < n and value[i] != 44:
            i += 1
        stop = i
        while stop > start and (value[stop - 1] == 32 or value[stop - 1] == 9):
            stop -= 1
        if stop - start > 8 and same_lower(value + start, b"timeout=", 8):
            if not _digits(value + start + 8, stop - start - 8, &found):
                return -1
            return <int>found if found < 86400 else 86400
    return -1


cdef inline bint _connection(head_t* h, const char* value, size_t n) noexcept nogil:
    """Note what a Connection field says; false when it is not a list of tokens."""
    cdef size_t i = 0
    cdef size_t start
    cdef bint listed = False        # since the last comma
    while i < n:
        if value[i] == 32 or value[i] == 9 or value[i] == 44:
            if value[i] == 44:
                listed = False
            i += 1
            continue
        if listed:
            return False
        listed = True
        start = i
        while i < n and TOKEN[<uint8_t>value[i]]:
            i += 1
        if i == start:
            return False
        if equals(value + start, i - start, b"close"):
            h.flags |= FLAG_CLOSE
        elif equals(value + start, i - start, b"keep-alive"):
            h.flags |= FLAG_KEEP_ALIVE
        elif equals(value + start, i - start, b"upgrade"):
            h.flags |= FLAG_UPGRADE         # that field is hop-by-hop anyway
        else:
            h.flags |= FLAG_NOMINATED
    return True


cdef inline void _nominate(head_t* h, const char* data) noexcept nogil:
    """Mark the fields that Connection names as hop-by-hop, but for those that frame, address or authenticate."""
    cdef uint32_t c, f
    cdef size_t i, start, n, j
    cdef const char* value
    cdef const char* name
    cdef bint same
    for c in range(h.fields):
        if h.field[c].kind != KIND_CONNECTION:
            continue
        value = data + h.field[c].value
        n = h.field[c].end - h.field[c].value
        i = 0
        while i < n:
            if not TOKEN[<uint8_t>value[i]]:
                i += 1
                continue
            start = i
            while i < n and TOKEN[<uint8_t>value[i]]:
                i += 1
            for f in range(h.fields):
                if h.field[f].kind != KIND_OTHER or h.field[f].name_length != i - start:
                    continue
                name = data + h.field[f].name
                same = True
                for j in range(i - start):
                    if (name[j] | 32) != (value[start + j] | 32):
                        same = False
                        break
                if same:
                    h.field[f].kind = KIND_NOMINATED


cdef inline scan_t _fields(head_t* h, const char* data, const char* at, const char* end, uint32_t most,
                           const char* key_header, size_t key_header_length) noexcept nogil:
    """Scan the fields from `at` to the empty line that ends at `end`."""
    cdef field_t* f = &h.field[0]
    cdef field_t* last = f + most
    cdef const char* colon
    cdef const char* value
    cdef const char* stop
    cdef const char* cr
    h.fields_at = <uint32_t>(at - data)
    while at[0] != 13:
        if f == last:
            return SCAN_FIELDS
        colon = name_end(at, end)
        if colon == at or colon[0] != 58 or colon - at > 65535:
            return SCAN_ODD
        cr = line_end(colon, end)
        if cr >= end or cr[0] != 13 or cr[1] != 10:
            return SCAN_ODD
        value = colon + 1
        stop = cr
        while value < stop and (value[0] == 32 or value[0] == 9):
            value += 1
        while stop > value and (stop[-1] == 32 or stop[-1] == 9):
            stop -= 1
        if cr - stop > 253:
            return SCAN_ODD
        f.name = <uint32_t>(at - data)
        f.value = <uint32_t>(value - data)
        f.end = <uint32_t>(stop - data)
        f.name_length = <uint16_t>(colon - at)
        f.line = <uint8_t>(cr - stop + 2)
        f.kind = field_kind(at, colon - at)
        if key_header_length and <size_t>(colon - at) == key_header_length and (
                same_lower(at, key_header, key_header_length)):
            f.kind = KIND_KEY_HEADER
        f += 1
        if f[-1].kind != KIND_OTHER:
            h.fields = <uint32_t>(f - &h.field[0])
            if not _meaning(h, f - 1, data):
                return SCAN_ODD
        at = cr + 2
    h.fields = <uint32_t>(f - &h.field[0])
    return SCAN_PLAIN if at + 2 == end and at[1] == 10 else SCAN_ODD


cdef inline bint _meaning(head_t* h, const field_t* f, const char* data) noexcept nogil:
    """Take in a field that frames or addresses the message; false when it is not plain."""
    cdef const char* value = data + f.value
    cdef size_t n = f.end - f.value
    cdef size_t i
    if f.kind == KIND_CONTENT_LENGTH:
        return h.content_length < 0 and not h.flags & FLAG_CHUNKED and _digits(value, n, &h.content_length)
    if f.kind == KIND_TRANSFER_ENCODING:
        if h.flags & FLAG_CHUNKED or h.content_length >= 0 or not equals(value, n, b"chunked"):
            return False
        h.flags |= FLAG_CHUNKED
    elif f.kind == KIND_HOST:
        if h.host or n == 0:
            return False
        for i in range(n):
            if not HOST_BYTE[<uint8_t>value[i]]:
                return False
        h.host = h.fields
    elif f.kind == KIND_CONNECTION:
        return _connection(h, value, n)
    elif f.kind == KIND_EXPECT:
        h.flags |= FLAG_EXPECT_CONTINUE if equals(value, n, b"100-continue") else FLAG_EXPECT_OTHER
    elif f.kind == KIND_DATE:
        h.flags |= FLAG_DATE
    elif f.kind == KIND_TAG:
        h.flags |= FLAG_TAG
    elif f.kind == KIND_KEEP_ALIVE:
        h.flags |= FLAG_KEEP_FOR
    return True


cdef inline scan_t request_scan(head_t* h, const char* data, size_t length, uint32_t most, const char* key_header,
                                size_t key_header_length) noexcept nogil:
    """Scan a request head of `length` bytes, its empty line included (see `head_end`)."""
    cdef size_t at = 0
    cdef const char* sp
    cdef scan_t result
    h.length = <uint32_t>length
    h.fields = 0
    h.flags = 0
    h.content_length = -1
    h.host = 0
    h.status = 0
    h.method = METHOD_OTHER         # of a head that is not plain, nothing may be left from the one before
    h.minor = 1
    h.target = h.target_length = h.path_length = h.method_length = 0
    while 65 <= data[at] <= 90:
        at += 1
    if at == 0 or at > 24 or data[at] != 32:
        return SCAN_ODD
    h.method_length = <uint32_t>at
    h.method = method_of(data, at)
    if h.method == METHOD_OTHER and not known_method(data, at):
        return SCAN_ODD
    at += 1
    if data[at] != 47:
        return SCAN_ODD
    sp = <const char*>memchr(data + at, 32, length - at)
    if sp is NULL:
        return SCAN_ODD
    h.target = <uint32_t>at
    h.target_length = <uint32_t>(sp - data - at)
    if bad_target(data + at, h.target_length):
        return SCAN_ODD
    at = sp - data + 1
    if length - at < 12 or not (data[at] == 72 and data[at + 1] == 84 and data[at + 2] == 84 and data[at + 3] == 80
                                and data[at + 4] == 47 and data[at + 5] == 49 and data[at + 6] == 46
                                and 48 <= data[at + 7] <= 49 and data[at + 8] == 13 and data[at + 9] == 10):
        return SCAN_ODD
    h.minor = data[at + 7] - 48
    sp = <const char*>memchr(data + h.target, 63, h.target_length)
    h.path_length = h.target_length if sp is NULL else <uint32_t>(sp - data - h.target)
    result = _fields(h, data, data + at + 10, data + length, most, key_header, key_header_length)
    if result != SCAN_PLAIN:
        return result
    if (h.host == 0 and h.minor == 1) or (h.flags & FLAG_CHUNKED and h.minor == 0) or h.method == METHOD_CONNECT:
        return SCAN_ODD
    if h.flags & FLAG_NOMINATED:
        _nominate(h, data)
    return SCAN_PLAIN


cdef inline scan_t response_scan(head_t* h, const char* data, size_t length) noexcept nogil:
    """Scan a response head of `length` bytes, its empty line included."""
    cdef scan_t result
    cdef const char* cr
    h.length = <uint32_t>length
    h.fields = 0
    h.flags = 0
    h.content_length = -1
    h.host = 0
    if length < 17 or not (data[0] == 72 and data[1] == 84 and data[2] == 84 and data[3] == 80 and data[4] == 47
                           and data[5] == 49 and data[6] == 46 and 48 <= data[7] <= 49 and data[8] == 32
                           and 49 <= data[9] <= 57 and 48 <= data[10] <= 57 and 48 <= data[11] <= 57
                           and (data[12] == 32 or data[12] == 13)):
        return SCAN_ODD
    h.minor = data[7] - 48
    h.status = (data[9] - 48) * 100 + (data[10] - 48) * 10 + (data[11] - 48)
    cr = line_end(data + 12, data + length)
    if cr >= data + length or cr[0] != 13 or cr[1] != 10:
        return SCAN_ODD
    result = _fields(h, data, cr + 2, data + length, FIELDS_MAX, NULL, 0)
    if result != SCAN_PLAIN:
        return result
    if h.flags & FLAG_CHUNKED and h.minor == 0:
        return SCAN_ODD
    if h.flags & FLAG_NOMINATED:
        _nominate(h, data)
    return SCAN_PLAIN


cdef inline bint path_climbs(const char* path, size_t length) noexcept nogil:
    """Whether a segment is "." or ".." once decoded, with "/" and "\\" encoded or not as its borders: what an upstream
    might resolve to a place that the route did not mean."""
    cdef size_t i = 0
    cdef int dots = 0               # -1: the segment has other bytes
    cdef uint8_t byte
    cdef uint8_t low
    if memchr(path, 46, length) is NULL and memchr(path, 37, length) is NULL:
        return False
    while True:
        if i >= length:
            return dots == 1 or dots == 2
        byte = <uint8_t>path[i]
        i += 1
        if byte == 37 and i + 1 < length:
            low = <uint8_t>path[i + 1] | 32
            if path[i] == 50 and low == 101:                    # %2e
                byte = 46
                i += 2
            elif path[i] == 50 and low == 102:                  # %2f
                byte = 47
                i += 2
            elif path[i] == 53 and low == 99:                   # %5c
                byte = 47
                i += 2
        if byte == 47 or byte == 92:
            if dots == 1 or dots == 2:
                return True
            dots = 0
        elif byte == 46 and dots >= 0:
            dots += 1
        else:
            dots = -1

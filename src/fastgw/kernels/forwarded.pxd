# Decides who the client is behind proxies that are trusted: X-Forwarded-For is read from the right, where the proxies
# that are nearest have written, up to the first address that is none of theirs.
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memchr, memcmp, memcpy, memset

from fastgw.kernels.head cimport KIND_FORWARDED, field_t, head_t
from fastgw.kernels.octets cimport TOKEN, named
from fastgw.kernels.render cimport put_bytes

cdef extern from "<arpa/inet.h>" nogil:
    int AF_INET
    int AF_INET6
    int inet_pton(int family, const char* text, void* address)

cdef enum:
    ADDRESS_TEXT_MAX = 45       # an IPv6 address with IPv4 written in its end
    SCHEME_MAX = 16             # of X-Forwarded-Proto
    HOST_MAX = 512              # of X-Forwarded-Host
    NETWORKS_MAX = 256
    HOPS_MAX = 64               # addresses of a chain that are looked at

cdef struct network_t:
    uint8_t prefix[16]          # IPv6, or IPv4 mapped into it
    uint32_t bits


cdef inline bint network_has(const network_t* n, const uint8_t* address) noexcept nogil:
    cdef uint32_t whole = n.bits >> 3
    cdef uint8_t mask = <uint8_t>(0xff00 >> (n.bits & 7))
    if memcmp(n.prefix, address, whole) != 0:
        return False
    return whole == 16 or (n.prefix[whole] ^ address[whole]) & mask == 0


cdef inline bint address_read(const char* text, size_t length, uint8_t* address) noexcept nogil:
    """Take in an address, as it may stand in X-Forwarded-For: bare, or with a port, IPv6 then in brackets."""
    cdef char copy[ADDRESS_TEXT_MAX + 1]
    cdef const char* colon
    cdef const char* stop
    if length and text[0] == 91:                                # [
        stop = <const char*>memchr(text, 93, length)            # ]
        if stop is NULL or (stop + 1 < text + length and stop[1] != 58):
            return False
        text += 1
        length = stop - text
    else:
        colon = <const char*>memchr(text, 58, length)
        if colon is not NULL and memchr(colon + 1, 58, text + length - colon - 1) is NULL:
            length = colon - text
    if length == 0 or length > ADDRESS_TEXT_MAX:
        return False
    memcpy(copy, text, length)
    copy[length] = 0
    if memchr(copy, 58, length) is not NULL:
        return inet_pton(AF_INET6, copy, address) == 1
    memset(address, 0, 10)
    memset(address + 10, 0xff, 2)
    return inet_pton(AF_INET, copy, address + 12) == 1


cdef inline bint is_chain(const field_t* f, const char* at) noexcept nogil:
    return f.kind == KIND_FORWARDED and named(at + f.name, f.name_length, b"x-forwarded-for")


cdef inline void forwarded_client(const head_t* h, const char* at, const network_t* networks, uint32_t count,
                                  uint8_t* address, uint16_t* port) noexcept nogil:
    """Put the client's address in place of that of its connection, if the chain names one.

    What is no address ends the chain: the proxy that has passed it on is the last that is known.
    """
    cdef uint8_t found[16]
    cdef uint32_t i = h.fields
    cdef uint32_t n
    cdef uint32_t hops = 0
    cdef const char* start
    cdef const char* first
    cdef const char* end
    cdef bint trusted
    while i > 0:
        i -= 1
        if not is_chain(&h.field[i], at):
            continue
        start = at + h.field[i].value
        end = at + h.field[i].end
        while end > start:
            while end > start and (end[-1] == 32 or end[-1] == 9 or end[-1] == 44):
                end -= 1
            first = end
            while first > start and first[-1] != 44:
                first -= 1
            while first < end and (first[0] == 32 or first[0] == 9):
                first += 1
            if first == end:
                break                                           # commas alone
            if not address_read(first, end - first, found):
                return
            memcpy(address, found, 16)
            port[0] = 0
            trusted = False
            for n in range(count):
                trusted = trusted or network_has(&networks[n], found)
            hops += 1
            if not trusted or hops == HOPS_MAX:
                return
            while first > start and first[-1] != 44:
                first -= 1
            end = first


cdef inline char* put_chain(const head_t* h, const char* at, const char* peer, size_t peer_length,
                            char* to) noexcept nogil:
    """X-Forwarded-For: all that came, in order, and the peer that has brought it; nothing, if that is nothing."""
    cdef char* line = to
    cdef uint32_t i
    cdef const field_t* f
    to = put_bytes(to, b"X-Forwarded-For: ", 17)
    cdef char* values = to
    for i in range(h.fields):
        f = &h.field[i]
        if f.end > f.value and is_chain(f, at):
            if to > values:
                to = put_bytes(to, b", ", 2)
            to = put_bytes(to, at + f.value, f.end - f.value)
    if peer_length:
        if to > values:
            to = put_bytes(to, b", ", 2)
        to = put_bytes(to, peer, peer_length)
    return put_bytes(to, b"\r\n", 2) if to > values else line


cdef inline const field_t* forwarded_scheme(const head_t* h, const char* at) noexcept nogil:
    """The last X-Forwarded-Proto that is a single word, or NULL."""
    cdef const field_t* found = NULL
    cdef const field_t* f
    cdef uint32_t i, j
    cdef bint word
    for i in range(h.fields):
        f = &h.field[i]
        if f.kind == KIND_FORWARDED and named(at + f.name, f.name_length, b"x-forwarded-proto"):
            word = 0 < f.end - f.value <= SCHEME_MAX
            for j in range(f.value, f.end):
                word = word and TOKEN[<uint8_t>at[j]]
            if word:
                found = f
    return found


cdef inline const field_t* forwarded_host(const head_t* h, const char* at) noexcept nogil:
    """The last X-Forwarded-Host, or NULL."""
    cdef const field_t* found = NULL
    cdef const field_t* f
    cdef uint32_t i
    for i in range(h.fields):
        f = &h.field[i]
        if f.kind == KIND_FORWARDED and named(at + f.name, f.name_length, b"x-forwarded-host"):
            if 0 < f.end - f.value < HOST_MAX:
                found = f
    return found


cdef inline char* put_host(const field_t* f, const char* at, char* to) noexcept nogil:
    """X-Forwarded-Host, of a field that has the host."""
    to = put_bytes(to, b"X-Forwarded-Host: ", 18)
    to = put_bytes(to, at + f.value, f.end - f.value)
    return put_bytes(to, b"\r\n", 2)

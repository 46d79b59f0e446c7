# Decides the body of a refusal: constant pieces of JSON, and between them the numbers of the call.
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastgw.kernels.claim cimport claim_t
from fastgw.kernels.render cimport put_bytes, put_decimal, put_hex64, put_money, put_time

cdef enum number_t:                 # the numbers of refusals.py
    NUMBER_PRICE = 0
    NUMBER_AVAILABLE = 1
    NUMBER_LIMIT = 2
    NUMBER_USED = 3
    NUMBER_WINDOW = 4
    NUMBER_RESETS_AT = 5
    NUMBER_EXPIRED_AT = 6
    NUMBER_REQUEST_ID = 7

cdef enum:
    NUMBERS_MAX = 5                 # in one body
    TOKEN_BYTES = 34                # the longest token of JSON: a request's id between quotes
    LINK_BYTES = 32                 # of what stands before, between and after numbers

cdef struct template_t:
    const char* start               # status line and constant fields, whole lines
    size_t start_length
    const char* body                # all of it, or what comes before the first number
    size_t body_length
    char link[NUMBERS_MAX][LINK_BYTES]      # after each number
    size_t link_length[NUMBERS_MAX]
    uint32_t number[NUMBERS_MAX]
    uint32_t numbers
    uint32_t digits                 # that the length of the longest body has
    uint32_t status


cdef inline char* _put_token(char* to, uint32_t number, const claim_t* c, const uint64_t* request) noexcept nogil:
    if number == NUMBER_LIMIT:
        return put_decimal(to, c.quota)
    if number == NUMBER_USED:
        return put_decimal(to, c.used)
    if number == NUMBER_RESETS_AT and c.at_s == 0:
        return put_bytes(to, b"null", 4)
    to[0] = 34
    if number <= NUMBER_AVAILABLE:
        to = put_money(to + 1, c.price if number == NUMBER_PRICE else c.available)
    elif number == NUMBER_REQUEST_ID:
        to = put_hex64(put_hex64(to + 1, request[0]), request[1])
    elif number == NUMBER_WINDOW:
        to = put_bytes(to + 1, b"month", 5) if c.monthly else put_bytes(to + 1, b"day", 3)
    else:
        to = put_time(to + 1, c.at_s)
    to[0] = 34
    return to + 1


cdef inline char* template_length(char* to, const template_t* t) noexcept nogil:
    """The line that says how long the body is; its digits, the last of which is 3 bytes before the end, come later."""
    to = put_bytes(to, b"Content-Length: ", 16)
    memset(to, 32, t.digits)
    return put_bytes(to + t.digits, b"\r\n", 2)


cdef inline char* template_body(char* to, const template_t* t, const claim_t* c, const uint64_t* request,
                                char* length_end) noexcept nogil:
    """Write the body; and where it has numbers, its length into the line that ends at `length_end`. `request` is the
    two words of the request's id."""
    cdef const char* start = to
    cdef uint64_t length
    cdef uint32_t i
    to = put_bytes(to, t.body, t.body_length)
    if t.numbers == 0:
        return to
    for i in range(t.numbers):
        to = _put_token(to, t.number[i], c, request)
        memcpy(to, t.link[i], LINK_BYTES)           # all of it, because that takes two instructions
        to += t.link_length[i]
    length = <uint64_t>(to - start)
    length_end -= 3
    while length:
        length_end[0] = <char>(48 + length % <uint64_t>10)
        length_end -= 1
        length //= <uint64_t>10
    return to

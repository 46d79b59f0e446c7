# Decides the body of a refusal: constant pieces of JSON, and between them the numbers of the call.
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from fastgw.kernels.claim cimport claim_t
from fastgw.kernels.render cimport MONEY_BYTES, put_bytes, put_decimal, put_money, put_time

cdef enum number_t:                 # the numbers of refusals.py
    NUMBER_PRICE = 0
    NUMBER_AVAILABLE = 1
    NUMBER_LIMIT = 2
    NUMBER_USED = 3
    NUMBER_WINDOW = 4
    NUMBER_RESETS_AT = 5
    NUMBER_EXPIRED_AT = 6

cdef enum:
    NUMBERS_MAX = 4                 # in one body
    TOKEN_BYTES = MONEY_BYTES + 3   # the longest token of JSON: an amount between quotes

cdef struct template_t:
    const char* start               # status line and constant fields, whole lines
    size_t start_length
    const char* part[NUMBERS_MAX + 1]
    size_t part_length[NUMBERS_MAX + 1]
    size_t constant                 # bytes of all parts
    uint32_t number[NUMBERS_MAX]
    uint32_t numbers
    uint16_t status

cdef struct tokens_t:
    char text[NUMBERS_MAX][TOKEN_BYTES]
    size_t length[NUMBERS_MAX]


cdef inline char* _put_token(char* to, uint32_t number, const claim_t* c) noexcept nogil:
    if number == NUMBER_LIMIT:
        return put_decimal(to, c.quota)
    if number == NUMBER_USED:
        return put_decimal(to, c.used)
    if number == NUMBER_RESETS_AT and c.at_s == 0:
        return put_bytes(to, b"null", 4)
    to[0] = 34
    to += 1
    if number == NUMBER_PRICE:
        to = put_money(to, c.price)
    elif number == NUMBER_AVAILABLE:
        to = put_money(to, c.available)
    elif number == NUMBER_WINDOW:
        to = put_bytes(to, b"month", 5) if c.monthly else put_bytes(to, b"day", 3)
    else:
        to = put_time(to, c.at_s)
    to[0] = 34
    return to + 1


cdef inline size_t template_fill(const template_t* t, const claim_t* c, tokens_t* tokens) noexcept nogil:
    """Write the numbers of the call; the length of the whole body."""
    cdef size_t total = t.constant
    cdef uint32_t i
    for i in range(t.numbers):
        tokens.length[i] = <size_t>(_put_token(tokens.text[i], t.number[i], c) - tokens.text[i])
        total += tokens.length[i]
    return total


cdef inline char* template_body(char* to, const template_t* t, const tokens_t* tokens) noexcept nogil:
    cdef uint32_t i
    to = put_bytes(to, t.part[0], t.part_length[0])
    for i in range(t.numbers):
        to = put_bytes(to, tokens.text[i], tokens.length[i])
        to = put_bytes(to, t.part[i + 1], t.part_length[i + 1])
    return to

# Decides what a caller is told of the limit that has refused it: Retry-After (RFC 9110 §10.2.3), the RateLimit fields
# (draft-ietf-httpapi-ratelimit-headers).
from libc.stdint cimport uint64_t

from fastgw.kernels.claim cimport POLICY_KEY, POLICY_ROUTE, claim_t
from fastgw.kernels.render cimport put_bytes, put_decimal


cdef inline char* put_limit(char* to, const claim_t* c, const char* route, size_t length,
                            bint tokens) noexcept nogil:
    """The lines of a claim that a limit refuses, in tokens or in calls; that of a route goes by the route's name."""
    cdef uint64_t seconds = (c.wait_ns + 999_999_999) // <uint64_t>1_000_000_000
    cdef const char* name = route
    if c.policy == POLICY_KEY:
        name = b"key-tokens"
        length = 10 if tokens else 3
    elif c.policy != POLICY_ROUTE:
        name = b"plan-tokens"
        length = 11 if tokens else 4
    to = put_decimal(put_bytes(to, b"Retry-After: ", 13), seconds)
    to = put_bytes(put_bytes(to, b"\r\nRateLimit-Policy: \"", 21), name, length)
    to = put_decimal(put_bytes(to, b"\";q=", 4), c.violated.burst)
    if tokens:
        to = put_bytes(to, b";qu=\"tokens\"", 12)
    to = put_decimal(put_bytes(to, b";w=", 3), c.violated.window_s)
    to = put_bytes(put_bytes(to, b"\r\nRateLimit: \"", 14), name, length)
    to = put_decimal(put_bytes(to, b"\";r=0;t=", 8), seconds)
    return put_bytes(to, b"\r\n", 2)

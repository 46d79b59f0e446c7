# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: embedsignature=True, embedsignature.format=clinic
"""Decides the bytes of every refusal, and of the lines that an answer from upstream carries besides its own."""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint16_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from fastgw._call cimport Ticket
from fastgw._routes cimport route_t
from fastgw.kernels.claim cimport claim_t
from fastgw.kernels.layout cimport record_t
from fastgw.kernels.limited cimport put_limit
from fastgw.kernels.render cimport put_bytes, put_hex64
from fastgw.kernels.template cimport (
    LINK_BYTES, NUMBER_REQUEST_ID, NUMBERS_MAX, TOKEN_BYTES, template_body, template_length, template_t,
)
from fastgw.refusals import Refusal

cdef int RATE_LIMITED = Refusal.RATE_LIMITED
cdef int TOKENS_LIMITED = Refusal.TOKENS_LIMITED

cdef enum:
    SCRATCH_BYTES = 65536


cdef class Answers:
    """The templates of `fastgw.refusals`, and the `Date` of now.

    `templates` is one list of `fastgw.refusals.Template` per dialect, in the order of the codes (None where the table
    has a hole), as `fastgw.refusals.templates` gives them.
    """

    def __init__(self, list templates):
        self.scratch = <char*>calloc(1, SCRATCH_BYTES)
        self.load(templates)

    def __dealloc__(self):
        free(self.templates)
        free(self.scratch)

    cdef load(self, list templates):
        """Go by these from now on; on an error by those before."""
        cdef int codes = max((len(rows) for rows in templates), default=0)
        cdef template_t* new
        cdef template_t* t
        for row in (row for rows in templates for row in rows if row is not None):
            if len(row.numbers) > NUMBERS_MAX or any(len(part) > LINK_BYTES for part in row.parts[1:]):
                raise ValueError(f"a body has at most {NUMBERS_MAX} numbers, and {LINK_BYTES} bytes between two")
        new = <template_t*>calloc(len(templates) * codes + 1, sizeof(template_t))
        for d, rows in enumerate(templates):
            for c, row in enumerate(rows):
                if row is None:
                    continue
                t = &new[<int>d * codes + <int>c]
                t.start = PyBytes_AS_STRING(row.start)
                t.start_length = len(row.start)
                t.status = int(row.start[9:12])
                t.body = PyBytes_AS_STRING(row.parts[0])
                t.body_length = len(row.parts[0])
                t.numbers = len(row.numbers)
                t.digits = len(str(sum(map(len, row.parts)) + TOKEN_BYTES * len(row.numbers)))
                for i, number in enumerate(row.numbers):
                    t.number[<int>i] = number
                    t.link_length[<int>i] = len(row.parts[i + 1])
                    memcpy(t.link[<int>i], PyBytes_AS_STRING(row.parts[i + 1]), len(row.parts[i + 1]))
        free(self.templates)
        self.templates = new
        self.codes = codes
        self.keep = templates

    cdef void date_is(self, bytes line) noexcept:
        """The `Date` line of now: whole, or empty."""
        self.date_length = min(len(line), 60)
        memcpy(self.date, PyBytes_AS_STRING(line), self.date_length)

    cdef bytes lines(self, Ticket ticket, bint close, bint dated):
        """The lines that every forwarded answer carries; `Date` is added to one that has none (RFC 9110 §6.6.1)."""
        cdef char* to = put_bytes(self.scratch, b"Via: 1.1 fastgw\r\nX-Request-Id: ", 31)
        to = put_hex64(put_hex64(to, ticket.record.request[0]), ticket.record.request[1])
        to = put_bytes(to, b"\r\n", 2)
        if not dated:
            to = put_bytes(to, self.date, self.date_length)
        if close:
            to = put_bytes(to, b"Connection: close\r\n", 19)
        elif ticket.minor == 0:
            to = put_bytes(to, b"Connection: keep-alive\r\n", 24)
        return PyBytes_FromStringAndSize(self.scratch, to - self.scratch)

    cdef bytes refusal(self, int verdict, int dialect, record_t* record, const claim_t* claim, const route_t* route,
                       bint head_method, int minor, bint close):
        """The whole answer; its status is noted in the record. `claim` has the numbers, `route` may be NULL where no
        limit is what refuses."""
        cdef const template_t* t = &self.templates[dialect * self.codes + verdict]
        cdef char* length_end = NULL
        cdef char* start = self.scratch
        cdef char* to = put_bytes(start, t.start, t.start_length)
        cdef char* end
        record.status = <uint16_t>t.status
        to = put_bytes(to, self.date, self.date_length)
        to = put_bytes(to, b"X-Request-Id: ", 14)
        to = put_hex64(put_hex64(to, record.request[0]), record.request[1])
        to = put_bytes(to, b"\r\n", 2)
        if (verdict == RATE_LIMITED or verdict == TOKENS_LIMITED) and claim.violated is not NULL:
            to = put_limit(to, claim, route.name, route.name_length, verdict == TOKENS_LIMITED)
        if t.numbers:
            if t.number[t.numbers - 1] == NUMBER_REQUEST_ID:    # what is told in the body has this name in the head
                to = put_bytes(to, b"Request-Id: ", 12)
                to = put_hex64(put_hex64(to, record.request[0]), record.request[1])
                to = put_bytes(to, b"\r\n", 2)
            to = length_end = template_length(to, t)
        if close:
            to = put_bytes(to, b"Connection: close\r\n", 19)
        elif minor == 0:
            to = put_bytes(to, b"Connection: keep-alive\r\n", 24)
        to = put_bytes(to, b"\r\n", 2)
        end = to
        if t.numbers or not head_method:
            to = template_body(to, t, claim, record.request, length_end)
        return PyBytes_FromStringAndSize(start, (end if head_method else to) - start)

# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: embedsignature=True, embedsignature.format=clinic
"""HTTP/1 messages as a gateway needs them: where a head ends, what it means, and its bytes for the other side."""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t
from libc.string cimport memcmp, memset

from fastgw.kernels.amount cimport amount_nanos, amount_of_units
from fastgw.kernels.chunked cimport CHUNKED_BROKEN, CHUNKED_DONE, chunked_feed, chunked_room, chunked_t
from fastgw.kernels.head cimport (
    FIELDS_MAX, FLAG_CHUNKED, FLAG_CLOSE, FLAG_DATE, FLAG_EXPECT_CONTINUE, FLAG_KEEP_ALIVE, FLAG_KEEP_FOR, FLAG_UPGRADE,
    KIND_AUTHORIZATION, KIND_CONTENT_LENGTH, KIND_KEEP_ALIVE, KIND_KEY_HEADER, KIND_NOMINATED, KIND_OTHER,
    KIND_REQUEST_ID, KIND_TAG, KIND_TRANSFER_ENCODING, METHOD_DELETE, METHOD_GET, METHOD_HEAD, METHOD_OPTIONS,
    METHOD_PUT,
    SCAN_FIELDS, SCAN_ODD, SCAN_PLAIN, field_t, head_end, keep_alive_s, path_climbs, request_scan, response_scan,
)
from fastgw.kernels.octets cimport same_lower
from fastgw.kernels.render cimport MONEY_BYTES, put_bytes, put_hex, put_money

cdef enum:
    TAG_MAX = 64                # bytes

PLAIN = SCAN_PLAIN
ODD = SCAN_ODD
FIELDS = SCAN_FIELDS

# How the body of an answer is framed for the client
FRAMING_NONE = 0        # no body: HEAD, 1xx, 204, 304
FRAMING_LENGTH = 1      # Content-Length, as it came
FRAMING_CHUNKED = 2
FRAMING_CLOSE = 3       # until the connection closes: HTTP/1.0


cpdef Py_ssize_t find_head_end(bytes data, Py_ssize_t start):
    """Offset just past the first empty line at or after `start`, or -1."""
    return head_end(PyBytes_AS_STRING(data), start, PyBytes_GET_SIZE(data))


def money(long long nanos):
    """An amount as a decimal string: 1_000_000 is 0.001."""
    cdef char out[MONEY_BYTES]
    return out[:put_money(out, nanos) - out]


cpdef bytes chunk(bytes data, Py_ssize_t start, Py_ssize_t end, bint last):
    """`data[start:end]` as one chunk (RFC 9112 §7.1), none when it is empty, then the end of the body if `last`."""
    cdef char frame[20]
    cdef char* at = frame
    cdef Py_ssize_t n = end - start
    cdef bytes out
    if n == 0:
        return b"0\r\n\r\n" if last else b""
    at = put_hex(at, n)
    at = put_bytes(at, b"\r\n", 2)
    out = PyBytes_FromStringAndSize(NULL, (at - frame) + n + 2 + (5 if last else 0))
    n = at - frame
    at = put_bytes(PyBytes_AS_STRING(out), frame, n)
    at = put_bytes(at, PyBytes_AS_STRING(data) + start, end - start)
    at = put_bytes(at, b"\r\n", 2)
    if last:
        put_bytes(at, b"0\r\n\r\n", 5)
    return out


cpdef bytes rest(bytes data, Py_ssize_t start):
    """`data[start:]`."""
    return PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + start, PyBytes_GET_SIZE(data) - start)


cdef inline bint _tag_byte(char byte) noexcept nogil:
    """Letters, digits and . _ : -"""
    return (48 <= byte <= 58 or 65 <= byte <= 90 or 97 <= byte <= 122 or byte == 45 or byte == 46 or byte == 95)


cdef field_t* find_field(head_t* h, const char* at, bytes name, uint32_t first) noexcept:
    """The first field `name` (lower case) from number `first` on, NULL without one."""
    cdef size_t length = PyBytes_GET_SIZE(name)
    cdef uint32_t i
    cdef field_t* f
    for i in range(first, h.fields):
        f = &h.field[i]
        if f.name_length == length and same_lower(at + f.name, PyBytes_AS_STRING(name), length):
            return f
    return NULL


cdef class RequestHead:
    """The head of one request: scanned in place, valid until the next scan.

    content_length is -1 when there is no such field; `idempotent` follows RFC 9110 §9.2.2. `upgrade` says that there is
    no body, and that the connection may go over to a protocol of its Upgrade fields.
    """

    def __init__(self, int fields_max=100, bytes key_header=b""):
        if not 1 <= fields_max <= FIELDS_MAX:
            raise ValueError(f"fields_max must be from 1 to {FIELDS_MAX}")
        self.fields_max = fields_max
        self.key_header = key_header.lower()

    cpdef int scan(self, bytes data, Py_ssize_t start, Py_ssize_t end):
        """Take in the head `data[start:end]`, empty line included: PLAIN, ODD (ask httptools) or FIELDS (too many)."""
        cdef uint32_t flags
        cdef int result
        self.data = data
        self.at = PyBytes_AS_STRING(data) + start
        result = request_scan(&self.h, self.at, end - start, self.fields_max, PyBytes_AS_STRING(self.key_header),
                              PyBytes_GET_SIZE(self.key_header))
        flags = self.h.flags
        self.length = self.h.length
        self.target_length = self.h.target_length
        self.minor = self.h.minor
        self.content_length = self.h.content_length
        self.chunked = flags & FLAG_CHUNKED != 0
        self.keep_alive = flags & FLAG_CLOSE == 0 and (self.h.minor == 1 or flags & FLAG_KEEP_ALIVE != 0)
        self.expects_continue = flags & FLAG_EXPECT_CONTINUE != 0 and self.h.minor == 1
        self.head_method = self.h.method == METHOD_HEAD
        self.upgrade = flags & FLAG_UPGRADE != 0 and self.h.minor == 1 and not self.chunked and self.content_length <= 0
        self.idempotent = (self.h.method == METHOD_GET or self.h.method == METHOD_HEAD or self.h.method == METHOD_PUT
                           or self.h.method == METHOD_DELETE or self.h.method == METHOD_OPTIONS)
        return result

    cpdef bytes host(self):
        """The Host field without its port, in lower case; empty when there is none."""
        cdef field_t* f
        if self.h.host == 0:
            return b""
        f = &self.h.field[self.h.host - 1]
        host = self.at[f.value:f.end].lower()
        if not host.endswith(b"]"):
            name, colon, port = host.rpartition(b":")
            if colon and (port.isdigit() or not port):
                return name
        return host

    cpdef bytes value(self, bytes name):
        """The value of the first field `name` (lower case), b"" without one."""
        cdef field_t* f = find_field(&self.h, self.at, name, 0)
        return b"" if f is NULL else PyBytes_FromStringAndSize(self.at + f.value, f.end - f.value)

    cpdef bytes lines(self, bytes name):
        """The fields `name` (lower case) as whole lines."""
        cdef bytes found = b""
        cdef field_t* f = find_field(&self.h, self.at, name, 0)
        while f is not NULL:
            found += b"%b: %b\r\n" % (name, self.at[f.value:f.end])
            f = find_field(&self.h, self.at, name, (f - self.h.field) + 1)
        return found

    cpdef bytes read_method(self):
        """`method`."""
        return PyBytes_FromStringAndSize(self.at, self.h.method_length)

    cpdef bytes read_target(self):
        """`target`."""
        return PyBytes_FromStringAndSize(self.at + self.h.target, self.h.target_length)

    cdef int find_key(self, const char** found, size_t* size) noexcept:
        """The key that the request presents: 1 and where it lies, 0 for none, 2 for two that differ."""
        cdef head_t* h = &self.h
        cdef const char* at = self.at
        cdef const char* key = NULL
        cdef const char* value
        cdef size_t length = 0
        cdef size_t n
        cdef uint32_t i
        cdef field_t* f
        for i in range(h.fields):
            f = &h.field[i]
            if f.kind < KIND_AUTHORIZATION:
                continue
            value = at + f.value
            n = f.end - f.value
            if f.kind == KIND_AUTHORIZATION:
                if n < 8 or not same_lower(value, b"bearer ", 7):
                    f.kind = KIND_OTHER                 # not ours: another scheme, for the upstream
                    continue
                value += 7
                n -= 7
                while n and value[0] == 32:
                    value += 1
                    n -= 1
            elif f.kind > KIND_KEY_HEADER:
                continue
            if n == 0:
                continue
            if key is not NULL and (n != length or memcmp(key, value, n) != 0):
                return 2
            key = value
            length = n
        found[0] = key
        size[0] = length
        return key is not NULL

    cdef int find_tag(self, const char** found, size_t* size) noexcept:
        """The tag that the request names: 1 and where it lies, 0 for none, 2 for what is no name of a tag, or two."""
        cdef head_t* h = &self.h
        cdef field_t* f
        cdef size_t j
        cdef uint32_t i
        size[0] = 0
        for i in range(h.fields):
            f = &h.field[i]
            if f.kind != KIND_TAG:
                continue
            if size[0] or not 0 < f.end - f.value <= TAG_MAX:
                return 2
            found[0] = self.at + f.value
            size[0] = f.end - f.value
            for j in range(size[0]):
                if not _tag_byte(found[0][j]):
                    return 2
        return size[0] != 0

    # What the hot path does not need as an object

    @property
    def method(self) -> bytes:
        return self.read_method()

    @property
    def target(self) -> bytes:
        """The request target, as it came."""
        return self.read_target()

    @property
    def climbs(self) -> bool:
        """Whether the path has a dot segment, in any encoding."""
        return path_climbs(self.at + self.h.target, self.h.path_length)

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """(name, value) as they came, in order."""
        return [
            (self.at[self.h.field[i].name:self.h.field[i].name + self.h.field[i].name_length],
             self.at[self.h.field[i].value:self.h.field[i].end])
            for i in range(<int>self.h.fields)
        ]


cdef class ResponseHead:
    """The head of one answer: scanned in place, valid until the next scan."""

    cpdef int scan(self, bytes data, Py_ssize_t start, Py_ssize_t end):
        """Take in the head `data[start:end]`, its empty line included: PLAIN, ODD (ask httptools) or FIELDS."""
        cdef uint32_t flags
        cdef int result
        self.data = data
        self.at = PyBytes_AS_STRING(data) + start
        result = response_scan(&self.h, self.at, end - start)
        flags = self.h.flags
        self.length = self.h.length
        self.minor = self.h.minor
        self.status = self.h.status
        self.content_length = self.h.content_length
        self.chunked = flags & FLAG_CHUNKED != 0
        self.keep_alive = flags & FLAG_CLOSE == 0 and self.h.minor == 1
        self.dated = flags & FLAG_DATE != 0
        self.idle_s = self._idle_s() if flags & FLAG_KEEP_FOR else -1
        return result

    cdef int _idle_s(self) noexcept:
        """Seconds by `Keep-Alive: timeout=5` (RFC 2068 §19.7.1), -1 when no such field says so."""
        cdef uint32_t i
        cdef field_t* f
        cdef int found
        for i in range(self.h.fields):
            f = &self.h.field[i]
            if f.kind == KIND_KEEP_ALIVE:
                found = keep_alive_s(self.at + f.value, f.end - f.value)
                if found >= 0:
                    return found
        return -1

    cpdef long long take_cost(self, bytes name, long long unit_price):
        """Nanos that the field `name` (lower case) says the call has cost, and leave the field out of `render`.

        The field is decimal money, or whole units of `unit_price` nanos where that is > 0. -1 without exactly one such
        field that is well-formed.
        """
        cdef Py_ssize_t length = PyBytes_GET_SIZE(name)
        cdef const char* text = NULL
        cdef size_t size = 0
        cdef uint32_t i
        cdef uint32_t found = 0
        cdef field_t* f
        for i in range(self.h.fields):
            f = &self.h.field[i]
            if f.name_length == length and same_lower(self.at + f.name, PyBytes_AS_STRING(name), length):
                f.kind = KIND_NOMINATED
                found += 1
                text = self.at + f.value
                size = f.end - f.value
        if found != 1:
            return -1
        return amount_of_units(text, size, unit_price) if unit_price else amount_nanos(text, size)

    cpdef bytes value(self, bytes name):
        """The value of the first field `name` (lower case), b"" without one."""
        cdef field_t* f = find_field(&self.h, self.at, name, 0)
        return b"" if f is NULL else PyBytes_FromStringAndSize(self.at + f.value, f.end - f.value)

    cpdef bytes render(self, bytes extra, int framing, Py_ssize_t body_start, Py_ssize_t body_end):
        """The head for the client, then `data[body_start:body_end]` as it stands (framed by the caller, or by length).

        Hop-by-hop fields are left out; `extra` is whole lines to add.
        """
        cdef Py_ssize_t body = body_end - body_start
        cdef Py_ssize_t room = self.h.length + PyBytes_GET_SIZE(extra) + 64 + body
        cdef bytes out = PyBytes_FromStringAndSize(NULL, room)
        cdef char* start = PyBytes_AS_STRING(out)
        cdef char* to = start
        cdef uint32_t i
        cdef uint32_t run = self.h.fields_at        # where the lines not yet copied begin
        cdef field_t* f
        cdef bint drop
        to = put_bytes(to, b"HTTP/1.1", 8)
        to = put_bytes(to, self.at + 8, self.h.fields_at - 8)
        for i in range(self.h.fields):
            f = &self.h.field[i]
            if f.kind == 0:
                continue
            drop = KIND_TRANSFER_ENCODING <= f.kind <= KIND_NOMINATED or f.kind == KIND_REQUEST_ID
            if f.kind == KIND_CONTENT_LENGTH:
                drop = framing == 2 or self.h.status < 200 or self.h.status == 204
            if drop:
                to = put_bytes(to, self.at + run, f.name - run)
                run = f.end + f.line
        to = put_bytes(to, self.at + run, self.h.length - 2 - run)
        to = put_bytes(to, PyBytes_AS_STRING(extra), PyBytes_GET_SIZE(extra))
        if framing == 2:
            to = put_bytes(to, b"Transfer-Encoding: chunked\r\n", 28)
        to = put_bytes(to, b"\r\n", 2)
        if body:
            to = put_bytes(to, PyBytes_AS_STRING(self.data) + body_start, body)
        return PyBytes_FromStringAndSize(start, to - start)

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """(name, value) as they came, in order."""
        return [
            (self.at[self.h.field[i].name:self.h.field[i].name + self.h.field[i].name_length],
             self.at[self.h.field[i].value:self.h.field[i].end])
            for i in range(<int>self.h.fields)
        ]


cdef class ChunkedBody:
    """A body in chunks, read as it comes.

    After each `feed`: `taken` bytes were read, `done` or `broken` says how it stands, `payload` counts the data so far.
    """

    def __cinit__(self):
        memset(&self.c, 0, sizeof(chunked_t))

    cpdef bytes feed(self, bytes data, Py_ssize_t start, bint reframe):
        """What `data[start:]` carries of the body, bare or, with `reframe`, as chunks of our own."""
        cdef Py_ssize_t length = PyBytes_GET_SIZE(data) - start
        cdef bytes out = PyBytes_FromStringAndSize(NULL, chunked_room(length))
        cdef size_t written = 0
        self.taken = chunked_feed(&self.c, PyBytes_AS_STRING(data) + start, length, PyBytes_AS_STRING(out), &written,
                                  reframe)
        self.done = self.c.state == CHUNKED_DONE
        self.broken = self.c.state == CHUNKED_BROKEN
        self.payload = self.c.payload
        return PyBytes_FromStringAndSize(PyBytes_AS_STRING(out), written)

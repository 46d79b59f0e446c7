# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: embedsignature=True, embedsignature.format=clinic
"""Admission: which route, who is calling, may they call now, can they pay.

One `Gate` per worker. It decides on the segment without a lock and without waiting, and knows nothing of sockets. The
order of a decision is route → key → account → limits → quotas → money (`kernels/claim.pxd` has all from the key on); a
refusal changes no bucket, no quota and no balance.
"""
import os

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from fastgw._answers cimport Answers
from fastgw._call cimport Peer, Ticket
from fastgw._flight cimport Flight
from fastgw._http cimport RequestHead
from fastgw._routes cimport RouteTable, route_t
from fastgw._segment cimport Segment
from fastgw.kernels.account cimport account_t
from fastgw.kernels.atomics cimport CLOCK_MONOTONIC, CLOCK_REALTIME, clock_ns, load_u64, store_u64, unlikely
from fastgw.kernels.blake2b cimport blake2b_digest, blake2b_start
from fastgw.kernels.claim cimport claim_holds, claim_key, claim_look, claim_nothing, claim_t, claim_tag, claim_take
from fastgw.kernels.forwarded cimport HOST_MAX, put_host
from fastgw.kernels.head cimport (
    FLAG_CHUNKED, FLAG_EXPECT_OTHER, FLAG_TAG, KIND_AUTHORIZATION, KIND_HOST, KIND_OTHER,
    KIND_TRANSFER_ENCODING, METHOD_CONNECT, METHOD_TRACE, field_t, head_t, path_climbs,
)
from fastgw.kernels.journal cimport HOLD_ACCOUNT, journal_append
from fastgw.kernels.keys cimport keys_find
from fastgw.kernels.latency cimport latency_bucket
from fastgw.kernels.layout cimport (
    ACCOUNT_TAGS, KEY_ACTIVE, PATH_BYTES, layout_claim, layout_counters, layout_histogram, record_t,
)
from fastgw.kernels.render cimport put_bytes, put_hex64
from fastgw.refusals import Refusal

# The compiled path knows its refusals by number; refusals.py is the table.
cdef int ADMITTED = 0
cdef int BAD_REQUEST = Refusal.BAD_REQUEST
cdef int AMBIGUOUS_KEY = Refusal.AMBIGUOUS_KEY
cdef int MISSING_KEY = Refusal.MISSING_KEY
cdef int UNKNOWN_KEY = Refusal.UNKNOWN_KEY
cdef int UNKNOWN_CERTIFICATE = Refusal.UNKNOWN_CERTIFICATE
cdef int NO_ROUTE = Refusal.NO_ROUTE
cdef int BODY_TOO_LARGE = Refusal.BODY_TOO_LARGE
cdef int EXPECTATION_FAILED = Refusal.EXPECTATION_FAILED
cdef int NOT_IMPLEMENTED = Refusal.NOT_IMPLEMENTED
cdef int UNKNOWN_TAG = Refusal.UNKNOWN_TAG

cdef enum:
    SCRATCH_BYTES = 65536
    TAG_MARK = 2                    # of tags among what digests are made of, as fastgw._segment has it
    TAG_BYTES = 1 + 16 + 64         # the mark, the digest of the account's name, the tag


cdef class Gate(Flight):
    """Decides for one worker. `routes` and `plans` are rows of `fastgw.rows`, `templates` those of `Answers`."""

    def __init__(self, Segment segment, int worker, list routes, list templates, list plans, *, int fields_max=100,
                 bytes key_header=b"", int64_t body_max=0):
        segment._worker(worker)
        self.segment = segment
        self.s = &segment.s
        self.worker = worker
        self.me = &self.s.workers[worker]
        blake2b_start(self.start, self.s.header.secret)
        self.scratch = <char*>calloc(1, SCRATCH_BYTES)
        self.no_route = layout_counters(self.s, worker, 0)
        self.histograms = layout_histogram(self.s, worker, 0)
        self.request_high = int.from_bytes(os.urandom(8), "little")
        layout_claim(self.s, worker)
        self.answers = Answers(templates)
        self.reload(routes, templates, plans, fields_max=fields_max, key_header=key_header, body_max=body_max)
        self.tick(b"")

    def __dealloc__(self):
        free(self.scratch)

    # Tables

    def reload(self, list routes, list templates, list plans, *, int fields_max=100, bytes key_header=b"",
               int64_t body_max=0) -> None:
        """Decide by these from the next request on, as `Gate(…)` would; on an error all stays as it was.

        Admitted calls keep the table that their tickets hold. Not between `begin` and what ends that request.
        """
        table = RouteTable(self.segment, self.worker, routes, plans)
        head = RequestHead(fields_max, key_header)
        self.answers.load(templates)
        self.table = table
        self.head = head
        self.body_max = body_max
        self.claim.violated = NULL              # it may be one of the old table
        self.route = NULL
        self.route_index = -1

    def quote(self, int route, key: int) -> dict:
        """What a call to that route with the key at that index would meet now; see `RouteTable.quote`."""
        return self.table.quote(route, key)

    # The life of a request, as far as it is decided here

    cpdef int begin(self, bytes data, Py_ssize_t start, Py_ssize_t end) except? -1:
        """Start a request with the head `data[start:end]`; what RequestHead.scan says of it."""
        cdef record_t* r = &self.now
        self.started_ns = clock_ns(CLOCK_MONOTONIC)
        self.request_count += 1
        self.route = NULL
        self.route_index = -1
        self.tag_wanted = False
        r.time_ns = self.started_ns + self.realtime_offset
        r.request[0] = self.request_high
        r.request[1] = self.request_count * <uint64_t>0x9e3779b97f4a7c15     # odd, so no two are equal
        r.account = 0
        r.key = 0
        r.route = 0
        r.flags = 0
        r.tag = 0
        r.first_byte_us = 0
        r.bytes_out = 0
        r.bytes_in = 0
        r.path_length = 0
        r.method = 0
        return self.head.scan(data, start, end)

    cpdef int decide(self, Peer peer) except -1:
        """Admit the request whose head was just scanned (0), or say the refusal's number."""
        cdef head_t* h = &self.head.h
        cdef record_t* r = &self.now
        cdef const char* at = self.head.at
        cdef int index
        cdef uint32_t kept
        memcpy(r.address, peer.raw, 16)
        r.port = peer.port
        if peer.trusted:
            peer.find_client(h, at, r.address, &r.port)
        r.method = h.method
        r.path_length = <uint16_t>h.target_length
        kept = h.target_length if h.target_length < PATH_BYTES else PATH_BYTES
        memcpy(r.path, at + h.target, kept)
        if kept < PATH_BYTES:
            r.path[kept] = 0
        if path_climbs(at + h.target, h.path_length):
            return BAD_REQUEST
        if h.method == METHOD_TRACE or h.method == METHOD_CONNECT:
            return NOT_IMPLEMENTED
        index = self.table.match(self.head)
        if index < 0:
            return NO_ROUTE
        self.route = &self.table.routes[index]
        self.route_index = index
        r.route = <uint16_t>self.route.number
        if h.flags & FLAG_EXPECT_OTHER:
            return EXPECTATION_FAILED
        if self.body_max and h.content_length > self.body_max:
            return BODY_TOO_LARGE
        if self.route.needs_key:
            return self._authenticate(peer)
        claim_nothing(&self.claim)
        return ADMITTED

    cpdef void stranger(self, Peer peer) noexcept:
        """Note who sent what is no request, for the record."""
        memcpy(self.now.address, peer.raw, 16)
        self.now.port = peer.port

    def turn_away(self, Peer peer) -> None:
        """Note who sent a request that is refused without a look at what it may do, and in which dialect to say so."""
        cdef int index = self.table.match(self.head)
        self.stranger(peer)
        if index >= 0:
            self.route = &self.table.routes[index]
            self.now.route = <uint16_t>self.route.number

    cdef int _authenticate(self, Peer peer) except -1:
        """Whose key the request presents; then on to what it may do."""
        cdef const char* text
        cdef size_t length
        cdef uint64_t digest[4]
        cdef uint64_t changes
        cdef int64_t index
        cdef int found = self.head.find_key(&text, &length)
        if found == 0 and peer.identities is not None:
            index = peer.identity(self.s, self.start)
            return self._claim(<uint64_t>index) if index >= 0 else UNKNOWN_CERTIFICATE
        if found != 1:
            return AMBIGUOUS_KEY if found else MISSING_KEY
        changes = load_u64(&self.s.header.key_changes)
        if peer.knows(text, length, changes):
            index = peer.key_index
        else:
            blake2b_digest(self.start, text, length, digest)
            index = keys_find(self.s, digest)
            peer.remember(text, length, index, changes)
        if index < 0:
            return UNKNOWN_KEY
        return self._claim(<uint64_t>index)

    cdef int _claim(self, uint64_t key) noexcept:
        """Everything that the call takes, all or none: look, then take, and look again when others were faster."""
        cdef claim_t* c = &self.claim
        cdef route_t* route = self.route
        cdef int verdict
        c.time_ns = self.now.time_ns
        c.now_ns = <uint64_t>self.started_ns - self.s.header.epoch_ns
        verdict = claim_key(self.s, &route.tariff, key, c)
        self.now.key = <uint32_t>key + 1
        self.now.account = <uint32_t>c.account + 1
        if verdict:
            return verdict
        if unlikely(self.head.h.flags & FLAG_TAG != 0):
            verdict = self._claim_tag()
            if verdict:
                return verdict
        while True:
            verdict = claim_look(self.s, &route.tariff, c)
            if verdict or claim_take(self.s, &route.tariff, c, self.worker):
                return verdict

    cdef int _claim_tag(self) noexcept:
        """Which tag of its account the call names."""
        cdef const char* text = NULL
        cdef size_t length
        cdef uint64_t digest[4]
        cdef char named[TAG_BYTES]
        cdef const account_t* account = &self.s.accounts[self.claim.account]
        cdef int64_t index
        cdef int verdict
        if self.head.find_tag(&text, &length) != 1:
            return UNKNOWN_TAG
        named[0] = TAG_MARK
        memcpy(named + 1, account.name, sizeof(account.name))
        memcpy(named + 1 + sizeof(account.name), text, length)
        blake2b_digest(self.start, named, 1 + sizeof(account.name) + length, digest)
        index = keys_find(self.s, digest)
        if index >= 0:
            self.now.tag = <uint32_t>index + 1
            verdict = claim_tag(self.s, index, &self.claim)
            if verdict == ADMITTED or <uint32_t>load_u64(&self.s.keys[index].state) == KEY_ACTIVE:
                return verdict
        # One that is about to be made has a record already, and only the keeper knows it from one that was removed.
        self.tag_wanted = load_u64(&account.status) >> 32 & ACCOUNT_TAGS
        return UNKNOWN_TAG

    def wanted_tag(self) -> tuple[int, str]:
        """Of a request refused as UNKNOWN_TAG with `tag_wanted`: the account's index, and the tag that is not there."""
        cdef const char* text = NULL
        cdef size_t length
        if self.head.find_tag(&text, &length) != 1:
            raise ValueError("the request names no tag")
        return self.claim.account, text[:length].decode()

    cpdef Ticket ticket(self):
        """Take the admitted request out of the gate, to be settled later."""
        cdef Ticket ticket = Ticket.__new__(Ticket)
        cdef int64_t decided = clock_ns(CLOCK_MONOTONIC) - self.started_ns
        self.now.decided_us = <uint32_t>(decided // 1000)
        memcpy(&ticket.record, &self.now, sizeof(record_t))
        claim_holds(&self.claim, &ticket.holds)
        self.me.held += ticket.holds.held[<int>HOLD_ACCOUNT]
        claim_nothing(&self.claim)
        ticket.table = self.table
        ticket.started_ns = self.started_ns
        ticket.route = self.route_index
        ticket.head_method = self.head.head_method
        ticket.minor = self.head.minor
        self.histograms[latency_bucket(self.now.decided_us)] += 1
        return ticket

    # Bytes

    cpdef bytes request(self, Ticket ticket, Peer peer, bytes host_line, Py_ssize_t body_start, Py_ssize_t body_end):
        """The head for the upstream, and the part of the body that has come with it.

        The key stays here unless the route forwards it; hop-by-hop fields, the client's own word on where it comes
        from and `Expect` are left out; a chunked body is announced, and framed by the caller.
        """
        cdef head_t* h = &self.head.h
        cdef const char* at = self.head.at
        cdef route_t* route = self.route
        cdef Py_ssize_t body = body_end - body_start
        cdef Py_ssize_t room = (h.length + PyBytes_GET_SIZE(host_line) + route.set_length
                                + PyBytes_GET_SIZE(peer.lines) + 640 + body)
        cdef bytes out = None
        cdef char* start = self.scratch
        cdef char* to
        cdef uint32_t i, run
        cdef field_t* f
        cdef bint drop
        cdef bint forward_key = route.forward_key or not route.needs_key
        if room > SCRATCH_BYTES:
            out = PyBytes_FromStringAndSize(NULL, room)
            start = PyBytes_AS_STRING(out)
        to = put_bytes(start, at, h.target + h.target_length)
        to = put_bytes(to, b" HTTP/1.1\r\n", 11)
        if not route.preserve_host or h.host == 0:
            to = put_bytes(to, PyBytes_AS_STRING(host_line), PyBytes_GET_SIZE(host_line))
        run = h.fields_at
        for i in range(h.fields):
            f = &h.field[i]
            if f.kind == KIND_OTHER:
                drop = False
            elif f.kind >= KIND_AUTHORIZATION:
                drop = not forward_key
            else:
                drop = f.kind >= KIND_TRANSFER_ENCODING or (f.kind == KIND_HOST and not route.preserve_host)
            if not drop and (route.drops == 0 or not self.table.replaces(route, at + f.name, f.name_length)):
                continue
            to = put_bytes(to, at + run, f.name - run)
            run = f.end + f.line
        to = put_bytes(to, at + run, h.length - 2 - run)
        to = put_bytes(to, route.set_lines, route.set_length)
        if peer.trusted:
            to = peer.put_lines(h, at, to)
        else:
            to = put_bytes(to, PyBytes_AS_STRING(peer.lines), PyBytes_GET_SIZE(peer.lines))
            if h.host:
                f = &h.field[h.host - 1]
                if f.end - f.value < HOST_MAX:
                    to = put_host(f, at, to)
        to = put_bytes(to, b"X-Request-Id: ", 14)
        to = put_hex64(put_hex64(to, ticket.record.request[0]), ticket.record.request[1])
        if h.flags & FLAG_CHUNKED:
            to = put_bytes(to, b"\r\nTransfer-Encoding: chunked", 28)
        to = put_bytes(to, b"\r\n\r\n", 4)
        if body:
            to = put_bytes(to, PyBytes_AS_STRING(self.head.data) + body_start, body)
        return PyBytes_FromStringAndSize(start, to - start)

    cpdef bytes answer_lines(self, Ticket ticket, bint close, bint dated):
        """The lines that every forwarded answer carries; `Date` is added to one that has none (RFC 9110 §6.6.1)."""
        return self.answers.lines(ticket, close, dated)

    cpdef bytes refuse(self, int verdict, bint close):
        """The answer to the request just decided; it is counted and recorded with it."""
        cdef record_t* r = &self.now
        cdef int dialect = self.route.dialect if self.route is not NULL else 0
        cdef bytes out = self.answers.refusal(verdict, dialect, r, &self.claim, self.route, self.head.head_method,
                                              self.head.minor, close)
        r.verdict = verdict
        r.bytes_out = PyBytes_GET_SIZE(out)
        r.bytes_in = self.head.length
        r.target = 0
        r.decided_us = <uint32_t>((clock_ns(CLOCK_MONOTONIC) - self.started_ns) // 1000)
        r.total_us = r.decided_us
        self.histograms[latency_bucket(r.decided_us)] += 1
        (self.no_route if self.route is NULL else self.route.counters)[verdict] += 1
        journal_append(self.s, self.worker, r)
        return out

    cpdef bytes fail(self, Ticket ticket, int verdict, bint close):
        """The answer to an admitted call that could not be served; `settle` is still to come."""
        cdef route_t* route = &ticket.table.routes[ticket.route]
        return self.answers.refusal(verdict, route.dialect, &ticket.record, &self.claim, route, ticket.head_method,
                                    ticket.minor, close)

    # The worker's own state

    def tick(self, bytes date_line) -> None:
        """Once a second: the `Date` line of refusals (whole, or empty), and the offset of the wall clock."""
        self.answers.date_is(date_line)
        self.realtime_offset = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC)

    cpdef void beat(self) noexcept:
        """Whenever the loop turns: that it does."""
        store_u64(&self.me.heartbeat_ns, clock_ns(CLOCK_MONOTONIC))

    cpdef void count_tunnels(self, int tunnels) noexcept:
        """Add to the gauge of the calls in flight that are tunnels."""
        self.me.tunnels += tunnels

    def strain(self, memory: int, pressure: int, shed: int) -> None:
        """Say how many bytes the worker has, how short of memory it is, and how many more connections that closed."""
        self.me.memory = memory
        self.me.pressure = pressure
        self.me.shed += shed

    cpdef void count(self, int clients, int upstreams, int exchanges) noexcept:
        """Add to the gauges of open connections and calls in flight; a client that comes is also counted for good."""
        self.me.clients += clients
        self.me.upstreams += upstreams
        self.me.exchanges += exchanges
        self.me.accepted += clients if clients > 0 else 0

    cpdef void meet(self, int turned_away, int handshakes, int failed) noexcept:
        """Count connections closed for their PROXY header, and TLS handshakes, those done and those that were not."""
        self.me.turned_away += turned_away
        self.me.handshakes += handshakes
        self.me.handshakes_failed += failed

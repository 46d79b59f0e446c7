# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: embedsignature=True, embedsignature.format=clinic
"""Decides what a call in flight may still take, and what it is charged and leaves behind when it ends."""
from libc.stdint cimport INT64_MAX, int64_t, uint32_t, uint64_t

from fastgw._call cimport Ticket
from fastgw.kernels.atomics cimport CLOCK_MONOTONIC, clock_ns, unlikely
from fastgw.kernels.claim cimport claim_more, claim_nothing, claim_room_for, claim_t
from fastgw.kernels.journal cimport (
    HOLD_ACCOUNT, HOLD_BUDGET, HOLD_DAY, HOLD_MONTH, HOLD_TAG, holds_t, journal_settle, record_end,
)
from fastgw.kernels.latency cimport latency_bucket
from fastgw.kernels.layout cimport CODE_CLASS, HOLDS, LATENCY_BUCKETS, record_t
from fastgw.kernels.opens cimport open_close, open_earn
from fastgw.kernels.reserve cimport reserve_correct, reserve_tokens
from fastgw.kernels.served cimport served_count, served_forgo

cdef int ADMITTED = 0

cdef enum:
    SWITCHING_PROTOCOLS = 101


cdef class Flight:
    """One worker's calls in flight; `fastgw._core.Gate` is it, for those that it admits."""

    cpdef int extend(self, Ticket ticket, long long nanos) except -1:
        """Let the hold of a call in flight grow by `nanos` ≥ 0, of its account and of its key's and its tag's budgets,
        all or none: 0, or the refusal, and nothing has changed.

        0 nanos only ask whether its key and its account may still be used. Whatever steps it grew in, the call has one
        hold: `settle` captures of all of it. A `fail` right after a refusal tells its numbers. ValueError for a call
        that is settled, and for money of a call that no key pays for. Not between `begin` and what ends that request.
        """
        cdef claim_t* c = &self.claim
        cdef int verdict
        if ticket.settled or nanos < 0 or (nanos and ticket.record.key == 0):
            raise ValueError("a hold grows while its call is in flight, by what its key can pay")
        if ticket.record.key == 0:
            return ADMITTED
        c.time_ns = clock_ns(CLOCK_MONOTONIC) + self.realtime_offset
        c.key = ticket.record.key - 1
        c.account = ticket.record.account - 1
        c.day = 0
        c.month = 0
        c.price = min(nanos, INT64_MAX - ticket.holds.held[<int>HOLD_ACCOUNT])      # nobody has as much
        verdict = claim_more(self.s, c, &ticket.holds, ticket.record.tag, self.worker)
        if verdict == ADMITTED:
            self.me.held += nanos
            claim_nothing(c)
        return verdict

    cpdef long long room(self, Ticket ticket) noexcept:
        """The nanos that the hold of a call in flight could grow by now: the least that its account and its key's and
        its tag's budgets have; 0 without a key."""
        cdef claim_t c                              # a `fail` still tells the numbers of the refusal before
        if ticket.settled or ticket.record.key == 0:
            return 0
        c.time_ns = clock_ns(CLOCK_MONOTONIC) + self.realtime_offset
        c.key = ticket.record.key - 1
        c.account = ticket.record.account - 1
        return max(0, claim_room_for(self.s, &c, &ticket.holds, ticket.record.tag))

    cpdef int reserve(self, Ticket ticket, long long tokens) except -1:
        """Let a call in flight use `tokens` ≥ 0 more, by its key's limit, its plan's and the quotas, all or none: 0, or
        the refusal, and nothing has changed.

        As often as it goes on. What it has used in the end is what `Ticket.meter` notes: `settle` gives back the rest,
        as far as it has not come back by itself in time, and takes what was used beyond, though it be owed. ValueError
        for a call that is settled. Not between `begin` and what ends that request.
        """
        cdef claim_t* c = &self.claim
        if ticket.settled or tokens < 0:
            raise ValueError("tokens are reserved while a call is in flight")
        if ticket.record.key == 0 or tokens == 0:
            return ADMITTED
        c.now_ns = <uint64_t>clock_ns(CLOCK_MONOTONIC) - self.s.header.epoch_ns
        c.key = ticket.record.key - 1
        c.account = ticket.record.account - 1
        return reserve_tokens(self.s, &ticket.table.routes[ticket.route].tariff, c, &ticket.holds, &ticket.use, tokens,
                              self.worker)

    cpdef void earn(self, Ticket ticket, int status, long long cost, long long bytes_in, long long bytes_out,
                    int target) noexcept:
        """Note what a call in flight has come to cost, if that is more than before: if this process is killed, as much
        is charged, at most what is held, and the call is recorded like this, as WORKER_DIED. `settle` alone says what
        it costs when it ends otherwise. For calls that are paid for as they go; every other one is void then."""
        if not ticket.settled:
            record_end(&ticket.record, ticket.elapsed_us(), status, bytes_in, bytes_out, target)
            open_earn(self.s, self.worker, &self.opens, &ticket.record, &ticket.holds, cost)

    def forgo(self, Ticket ticket, long long nanos) -> None:
        """Count what a call has cost beyond what could be held for it, by the model that `Ticket.meter` has noted:
        nobody is charged for that."""
        if ticket.record.model and nanos > 0:
            served_forgo(self.s, self.worker, ticket.record.model, nanos)

    cpdef long long answered(self, Ticket ticket) noexcept:
        """The first byte of the upstream's answer is here, so many microseconds after the call began."""
        cdef int64_t us = ticket.elapsed_us()
        ticket.record.first_byte_us = <uint32_t>us
        self.histograms[LATENCY_BUCKETS + latency_bucket(us)] += 1
        return us

    cpdef void settle(self, Ticket ticket, int verdict, int status, bint charge, long long cost, long long bytes_in,
                      long long bytes_out, int target) noexcept:
        """Finish a call: capture of its hold, or void it; count it; write its record. Only the first time counts.

        `charge` false gives everything back; true captures the call of each quota and `cost` nanos, -1 for all that
        is held; never more than that, and never less than 0.
        """
        cdef record_t* r = &ticket.record
        cdef uint64_t* counters = ticket.table.routes[ticket.route].counters
        cdef holds_t* h = &ticket.holds
        cdef int64_t charges[HOLDS]
        cdef int64_t us = ticket.elapsed_us()
        if ticket.settled:
            return
        ticket.settled = True
        self.me.held -= h.held[<int>HOLD_ACCOUNT]
        record_end(r, us, status, bytes_in, bytes_out, target)
        if status != SWITCHING_PROTOCOLS:           # how long a tunnel was open is nobody's latency
            self.histograms[2 * LATENCY_BUCKETS + latency_bucket(us)] += 1
        r.verdict = verdict
        counters[verdict] += 1
        if 100 <= status < 600 and verdict == ADMITTED:
            counters[CODE_CLASS + status // 100] += 1
        if not charge or cost < -1:
            cost = 0
        elif cost == -1 or cost > h.held[<int>HOLD_ACCOUNT]:
            cost = h.held[<int>HOLD_ACCOUNT]
        charges[<int>HOLD_ACCOUNT] = charges[<int>HOLD_BUDGET] = charges[<int>HOLD_TAG] = cost
        charges[<int>HOLD_DAY] = charges[<int>HOLD_MONTH] = charge
        if unlikely(ticket.use.key_limit is not NULL or ticket.use.plan_limit is not NULL or h.kinds > HOLD_TAG + 1):
            reserve_correct(self.s, r.key - 1, r.account - 1, <uint64_t>clock_ns(CLOCK_MONOTONIC)
                            - self.s.header.epoch_ns, h, &ticket.use, <int64_t>r.tokens_in + r.tokens_out, self.worker,
                            charges)
        if unlikely(r.model != 0):
            served_count(self.s, self.worker, r)
        journal_settle(self.s, self.worker, r, h, charges)
        if h.open:
            open_close(self.s, self.worker, &self.opens, h)

# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Calls by hand, for tests only: what they hold, each part of their settling, what a kill leaves of it, and loops."""
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from fastgw._segment cimport Segment
from fastgw.kernels.account cimport cell_t
from fastgw.kernels.atomics cimport CLOCK_MONOTONIC, clock_ns, load_i64, load_u64
from fastgw.kernels.journal cimport (
    hold_kind_t, holds_add, holds_extend, holds_t, holds_take, holds_void, journal_capture, journal_prepare,
    journal_publish, journal_ring, journal_settle,
)
from fastgw.kernels.layout cimport (
    HOLDS, journal_t, layout_cell, layout_dirty, layout_journal, layout_open, open_t, record_t,
)


cdef class Call:
    """One call of one worker: holds of accounts and meters, then the parts of `journal_settle`."""
    cdef holds_t holds
    cdef record_t record
    cdef int64_t[HOLDS] charges

    def __init__(self, holds):
        """`holds` by kind, (index, amount) or None."""
        for kind, held in enumerate(holds):
            if held is not None:
                holds_add(&self.holds, <hold_kind_t><int>kind, held[0], held[1])

    def take(self, Segment segment, int worker):
        """-1 when all is held; else the kind that there was no room for."""
        return holds_take(&segment.s, worker, &self.holds)

    def extend(self, Segment segment, int worker, Call more):
        """Hold what `more` names as well, and be both: -1; else as `take`."""
        return holds_extend(&segment.s, worker, &self.holds, &more.holds)

    def void(self, Segment segment, int worker):
        holds_void(&segment.s, worker, &self.holds)

    def settle(self, Segment segment, int worker, charges):
        self._charge(charges)
        journal_settle(&segment.s, worker, &self.record, &self.holds, self.charges)

    def prepare(self, Segment segment, int worker, charges):
        self._charge(charges)
        journal_prepare(&segment.s, worker, &self.record, &self.holds, self.charges)

    def capture(self, Segment segment, int worker):
        journal_capture(&segment.s, worker, &self.holds, self.charges)

    def publish(self, Segment segment, int worker):
        journal_publish(&segment.s, worker)

    def _charge(self, charges):
        memset(self.charges, 0, sizeof(self.charges))
        for kind, charge in enumerate(charges):
            self.charges[<int>kind] = charge


# Words of a segment as a kill leaves them

def cell(Segment segment, int row, uint64_t account):
    """(reserved, captured, released) of a row; -1 is the keeper's."""
    cdef cell_t* c = layout_cell(&segment.s, row, account)
    return load_i64(&c.reserved), load_i64(&c.captured), load_i64(&c.released)


def journal_words(Segment segment, int worker):
    """(written, cost_sum, intent)."""
    cdef journal_t* j = layout_journal(&segment.s, worker)
    return load_u64(&j.written), load_i64(&j.cost_sum), load_u64(&j.intent)


def journal_after(Segment segment, int worker):
    """What the cells had captured after the last call that held something, by kind; -1 where it held nothing."""
    cdef journal_t* j = layout_journal(&segment.s, worker)
    return [j.after[<int>kind] if j.place[<int>kind] else -1 for kind in range(j.kinds)]


def dirty(Segment segment, int worker, uint64_t account):
    return layout_dirty(&segment.s, worker, account)[0]


def put_account(Segment segment, uint64_t account, int64_t granted, int64_t committed):
    segment.s.accounts[account].granted = granted
    segment.s.accounts[account].committed = committed


def put_cell(Segment segment, int row, uint64_t account, int64_t reserved, int64_t captured, int64_t released):
    cdef cell_t* c = layout_cell(&segment.s, row, account)
    c.reserved = reserved
    c.captured = captured
    c.released = released


def put_journal(Segment segment, int worker, uint64_t written, int64_t cost_sum, uint64_t intent, bint empties=False):
    """`empties`: the intent empties the first slot."""
    cdef journal_t* j = layout_journal(&segment.s, worker)
    j.written = written
    j.cost_sum = cost_sum
    j.intent = intent
    j.open = empties


def put_open(Segment segment, int worker, places, int64_t cost):
    """What is noted in the first slot: what the call would be charged if it ended now, and of what it holds."""
    cdef open_t* slot = layout_open(&segment.s, worker, 0)
    slot.record.cost = cost
    slot.kinds = len(places)
    layout_journal(&segment.s, worker).opens = 1
    for kind, place in enumerate(places):
        slot.place[<int>kind] = <uint32_t>place


def put_body(Segment segment, int worker, places, after, int64_t cost, int64_t cost_sum):
    """The record that is not published yet, and what it captures from (index + 1 by kind)."""
    cdef journal_t* j = layout_journal(&segment.s, worker)
    cdef record_t* place = journal_ring(j) + (j.written & (segment.s.header.journal_records - 1))
    place.number = 0
    place.cost = cost
    place.cost_sum = cost_sum
    j.kinds = len(places)
    for kind in range(len(places)):
        j.place[<int>kind] = <uint32_t>places[kind]
        j.after[<int>kind] = after[kind]


# Loops for races. Random numbers are xorshift64, so that a seed says everything.

cdef inline uint64_t _random(uint64_t* state) noexcept nogil:
    state[0] ^= state[0] << 13
    state[0] ^= state[0] >> 7
    state[0] ^= state[0] << 17
    return state[0]


def race_calls(Segment segment, int worker, int accounts, uint64_t seed, int64_t most, int64_t until_ns):
    """Make up to `most` calls until CLOCK_MONOTONIC is `until_ns`: each holds up to 16 nanos of one of `accounts`
    accounts, as many of a budget and one call of a quota, which are the meters at `accounts` and after it; three calls
    may be open at once, and grow. A quarter is void, the others are charged something and one call. (charged, nanos,
    refused)."""
    cdef holds_t[3] holds
    cdef holds_t more
    cdef int64_t[HOLDS] charges
    cdef record_t record
    cdef uint64_t state = seed | 1
    cdef uint64_t dice
    cdef int64_t nanos = 0
    cdef int64_t charged = 0
    cdef int64_t refused = 0
    cdef int64_t turn = 0
    cdef int64_t cost
    cdef int open = 0
    memset(&record, 0, sizeof(record))
    while turn < most or open:
        turn += 1
        if turn & 63 == 0 and clock_ns(CLOCK_MONOTONIC) >= until_ns:
            most = 0
        dice = _random(&state)
        if turn <= most and open < 3 and dice & 1:
            memset(&holds[open], 0, sizeof(holds_t))
            cost = 1 + <int64_t>(dice >> 8 & 15)
            holds_add(&holds[open], hold_kind_t.HOLD_ACCOUNT, (dice >> 16) % <uint64_t>accounts, cost)
            holds_add(&holds[open], hold_kind_t.HOLD_BUDGET, accounts, cost)
            holds_add(&holds[open], hold_kind_t.HOLD_DAY, accounts + 1, 1)
            if holds_take(&segment.s, worker, &holds[open]) < 0:
                open += 1
            else:
                refused += 1
        elif open and turn <= most and dice & 6 == 6:
            memset(&more, 0, sizeof(holds_t))
            holds_add(&more, hold_kind_t.HOLD_ACCOUNT, holds[open - 1].place[0] - 1, 1 + <int64_t>(dice >> 8 & 7))
            holds_add(&more, hold_kind_t.HOLD_BUDGET, accounts, 1 + <int64_t>(dice >> 8 & 7))
            refused += holds_extend(&segment.s, worker, &holds[open - 1], &more) >= 0
        elif open:
            open -= 1
            memset(charges, 0, sizeof(charges))
            if dice >> 32 & 3:
                cost = 1 + <int64_t>((dice >> 40) % <uint64_t>holds[open].held[0])
                charges[0] = cost
                charges[1] = cost
                charges[2] = 1
                nanos += cost
                charged += 1
            record.time_ns = charges[0]
            record.bytes_in = layout_journal(&segment.s, worker).written
            record.bytes_out = ~record.bytes_in
            journal_settle(&segment.s, worker, &record, &holds[open], charges)
    return charged, nanos, refused

# Decides what a call is charged that a kill -9 ends: what it had come to cost by then.
#
# One that is paid for as it goes, a tunnel or a stream of tokens, has a slot of its worker's own, where it lies as it
# would be recorded and charged if it ended now (`open_earn`: plain stores of one writer, the cost last). Every other is
# void when its worker dies. The end of the call empties the slot under the intent that captures (journal.pxd); whoever
# recovers settles what is in the slots that are not empty (`opens_finish`), each under an intent too. So it is charged
# once, whoever is killed, and wherever. What is noted is never more than the call holds, and what it holds is claimed
# by the dead worker's row still: nothing is charged that is not there.
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy, memset

from fastgw.kernels.atomics cimport load_i64, load_u64, store_i64, store_u64
from fastgw.kernels.journal cimport (
    HOLD_ACCOUNT, HOLD_DAY, HOLD_DAY_TOKENS, HOLD_MONTH, HOLD_MONTH_TOKENS, holds_t, holds_tokens, journal_settle,
)
from fastgw.kernels.layout cimport (
    HOLDS, OPENS_MAX, layout_counters, layout_journal, layout_open, open_t, record_t, segment_t,
)
from fastgw.kernels.served cimport served_count

cdef enum:
    OPEN_WORKER_DIED = 36           # the number of refusals.py

cdef struct opens_t:                # which slots are empty, in the worker's own memory; zeroed: all
    uint64_t used                   # slots from here on have not been used yet
    uint64_t empty                  # the first of the others, + 1; 0: none


cdef inline bint _open(const segment_t* s, int worker, opens_t* mine, record_t* record, holds_t* h) noexcept nogil:
    """Give the call a slot; false when there is none."""
    cdef open_t* slot
    cdef uint64_t number = mine.used
    if mine.empty:
        number = mine.empty - 1
        mine.empty = layout_open(s, worker, number).following
    elif number == OPENS_MAX:
        return False
    else:
        mine.used += 1
    slot = layout_open(s, worker, number)
    store_i64(&slot.record.cost, 0)
    record.cost = 0
    memcpy(&slot.record, record, sizeof(record_t))
    memcpy(slot.place, h.place, sizeof(slot.place))
    slot.kinds = h.kinds
    slot.tokens = 0
    if layout_journal(s, worker).opens <= number:
        store_u64(&layout_journal(s, worker).opens, number + 1)
    h.open = number + 1
    return True


cdef inline void open_earn(const segment_t* s, int worker, opens_t* mine, record_t* record, holds_t* h,
                           int64_t cost) noexcept nogil:
    """Note that the call would cost that much, and be such a record, if it ended now.

    At most what it holds counts. Less than was noted before, or nothing, changes nothing; nor is it noted where all
    slots are taken.
    """
    cdef open_t* slot
    cdef record_t* noted
    if cost > h.held[<int>HOLD_ACCOUNT]:
        cost = h.held[<int>HOLD_ACCOUNT]
    if cost <= 0 or (h.open == 0 and not _open(s, worker, mine, record, h)):
        return
    slot = layout_open(s, worker, h.open - 1)
    noted = &slot.record
    if cost < noted.cost:
        return
    noted.bytes_in = record.bytes_in
    noted.bytes_out = record.bytes_out
    noted.status = record.status
    noted.target = record.target
    noted.first_byte_us = record.first_byte_us
    noted.total_us = record.total_us
    noted.flags = record.flags
    noted.model = record.model
    noted.tokens_in = record.tokens_in
    noted.tokens_out = record.tokens_out
    noted.tokens_cached = record.tokens_cached
    noted.tokens_reasoning = record.tokens_reasoning
    slot.tokens = holds_tokens(h, <int64_t>record.tokens_in + record.tokens_out)
    store_i64(&noted.cost, cost)


cdef inline void open_close(const segment_t* s, int worker, opens_t* mine, holds_t* h) noexcept nogil:
    """The call is settled, and its slot empty: another may have it."""
    layout_open(s, worker, h.open - 1).following = mine.empty
    mine.empty = h.open
    h.open = 0


cdef inline void opens_finish(const segment_t* s, int worker) noexcept nogil:
    """Charge and record the calls of a dead worker as they are noted; after `journal_finish`, and before what else it
    held is given back."""
    cdef open_t* slot
    cdef record_t record
    cdef holds_t h
    cdef int64_t charges[HOLDS]
    cdef int64_t cost
    cdef uint64_t number
    cdef int kind
    for number in range(load_u64(&layout_journal(s, worker).opens)):
        slot = layout_open(s, worker, number)
        cost = load_i64(&slot.record.cost)
        if cost == 0:
            continue
        memset(&h, 0, sizeof(holds_t))
        memcpy(&record, &slot.record, sizeof(record_t))
        record.verdict = OPEN_WORKER_DIED
        for kind in range(<int>slot.kinds):
            charges[kind] = cost
            if kind == HOLD_DAY or kind == HOLD_MONTH:
                charges[kind] = 1
            elif kind == HOLD_DAY_TOKENS or kind == HOLD_MONTH_TOKENS:
                charges[kind] = slot.tokens
            h.place[kind] = slot.place[kind]
            h.held[kind] = charges[kind]
        h.kinds = slot.kinds
        h.open = number + 1
        if record.model:
            served_count(s, worker, &record)
        journal_settle(s, worker, &record, &h, charges)
        layout_counters(s, worker, record.route)[<int>OPEN_WORKER_DIED] += 1

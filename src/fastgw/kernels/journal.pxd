# Decides what a finished call leaves behind: its captures and its record, both or neither, at any kill -9.
#
# For the gate. A call holds from up to HOLDS cells at once, its account first (holds_t, kept in the ticket):
#
#     holds_add(&h, HOLD_ACCOUNT, index, nanos)      at admission, once for each thing that is held from; then
#     holds_take(s, worker, &h)                      all or none
#     holds_void(s, worker, &h)                      undo, when something later refuses the call
#     holds_extend(s, worker, &h, &more)             a call in flight holds more, all or none; then `h` is all of it
#     journal_settle(s, worker, record, &h, charges) the end of an admitted call: captures, and its record
#     journal_append(s, worker, record)              the end of a call that held nothing: a refusal
#
# `journal_settle` is journal_prepare, journal_capture and journal_publish, which are apart so that tests can stop
# between them. Settling writes the whole record, then the intent, then captures, then publishes. The intent is where it
# is decided: a worker killed before it has charged nothing, and one killed after it is finished by whoever recovers it
# (`journal_finish`), because the journal holds the values that the cells are about to have. Storing them twice is
# harmless. So the call log and the ledger agree to the nano at every kill. What a call has come to cost before its end
# is noted in a slot (opens.pxd), which the intent empties as well.
#
# For the keeper: `journal_copy`.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove

from fastgw.kernels.account cimport account_capture, account_hold, account_overdraw
from fastgw.kernels.atomics cimport (
    fence_acquire, fence_release, load_u64, store_i64, store_u8, store_u64, unlikely,
)
from fastgw.kernels.layout cimport (
    HOLDS, PATH_BYTES, RECORD_CHARGED, TAIL_BYTES, journal_t, layout_cell, layout_dirty, layout_journal, layout_open,
    record_t, segment_t,
)

cdef enum:
    TOTAL_US_MAX = 0xffffffff

cdef enum hold_kind_t:          # the order in which cells are captured from; what most calls have comes first
    HOLD_ACCOUNT = 0
    HOLD_BUDGET = 1             # of the key
    HOLD_DAY = 2                # quotas in calls
    HOLD_MONTH = 3
    HOLD_TAG = 4                # the budget of the tag
    HOLD_DAY_TOKENS = 5         # quotas in tokens
    HOLD_MONTH_TOKENS = 6

cdef struct holds_t:            # what one call holds; zeroed: nothing
    uint32_t kinds              # beyond them it holds nothing
    uint32_t place[HOLDS]       # index + 1 of the account or meter; 0: none
    int64_t held[HOLDS]         # > 0: nanos of the account and the budgets, calls or tokens of the quotas
    uint64_t open               # the slot where it is noted what it has come to cost, + 1; 0: none


cdef inline void holds_add(holds_t* h, hold_kind_t kind, uint64_t index, int64_t amount) noexcept nogil:
    """Say that `amount` > 0 is to be held of the account or meter at `index`."""
    h.place[<int>kind] = <uint32_t>index + 1
    h.held[<int>kind] = amount
    if h.kinds <= <uint32_t>kind:
        h.kinds = <uint32_t>kind + 1


cdef inline void _settle_one(const segment_t* s, int worker, uint64_t index, int64_t held,
                             int64_t charge) noexcept nogil:
    account_capture(&s.accounts[index], layout_cell(s, worker, index), layout_dirty(s, worker, index), held, charge)


cdef inline int holds_take(const segment_t* s, int worker, const holds_t* h) noexcept nogil:
    """Hold everything that `h` names, or nothing: -1, or the hold_kind_t that there was no room for."""
    cdef int kind, done
    cdef uint64_t index
    for kind in range(<int>h.kinds):
        if not h.place[kind]:
            continue
        index = h.place[kind] - 1
        if account_hold(&s.accounts[index], layout_cell(s, worker, index), h.held[kind]):
            continue
        for done in range(kind):
            if h.place[done]:
                _settle_one(s, worker, h.place[done] - 1, h.held[done], 0)
        return kind
    return -1


cdef inline void holds_void(const segment_t* s, int worker, const holds_t* h) noexcept nogil:
    """Give everything back."""
    cdef int kind
    for kind in range(<int>h.kinds):
        if h.place[kind]:
            _settle_one(s, worker, h.place[kind] - 1, h.held[kind], 0)


cdef inline int holds_extend(const segment_t* s, int worker, holds_t* h, const holds_t* more) noexcept nogil:
    """Hold what `more` names besides what `h` names: -1, and `h` is both; or as `holds_take`, and `h` is as it was.

    To the cells it is one more hold; that one settling ends both needs no word of its own, for what a cell has reserved
    is a sum. `more` is of the same accounts and meters, wherever `h` holds from any.
    """
    cdef int refused = holds_take(s, worker, more)
    cdef int kind
    if refused < 0:
        for kind in range(<int>more.kinds):
            if more.place[kind]:
                holds_add(h, <hold_kind_t>kind, more.place[kind] - 1, h.held[kind] + more.held[kind])
    return refused


cdef inline void holds_overdraw(const segment_t* s, int worker, holds_t* h, hold_kind_t kind,
                                int64_t amount) noexcept nogil:
    """Hold `amount` > 0 more of the meter that `h` holds of that kind, whether it has them or not: used already."""
    cdef uint64_t index = h.place[<int>kind] - 1
    account_overdraw(&s.accounts[index], layout_cell(s, worker, index), amount)
    h.held[<int>kind] += amount


cdef inline int64_t holds_tokens(const holds_t* h, int64_t used) noexcept nogil:
    """Of the tokens that a call has used, those that it holds of every quota in tokens."""
    if h.place[<int>HOLD_DAY_TOKENS] and used > h.held[<int>HOLD_DAY_TOKENS]:
        used = h.held[<int>HOLD_DAY_TOKENS]
    if h.place[<int>HOLD_MONTH_TOKENS] and used > h.held[<int>HOLD_MONTH_TOKENS]:
        used = h.held[<int>HOLD_MONTH_TOKENS]
    return used


cdef inline record_t* journal_ring(journal_t* j) noexcept nogil:
    return <record_t*>(<char*>j + sizeof(journal_t))


cdef inline void record_end(record_t* record, int64_t us, int status, uint64_t bytes_in, uint64_t bytes_out,
                            int target) noexcept nogil:
    """What the record of a call that ends now says of its end, but for its money; it took so many microseconds."""
    record.total_us = <uint32_t>us if us < TOTAL_US_MAX else TOTAL_US_MAX
    record.status = <uint16_t>status
    record.bytes_in = bytes_in
    record.bytes_out = bytes_out
    record.target = <uint16_t>target


cdef inline void _write_body(const segment_t* s, journal_t* j, const record_t* record) noexcept nogil:
    """Copy all but the number, which is 0 meanwhile; of the path, no more than there is."""
    cdef record_t* place = journal_ring(j) + (j.written & (s.header.journal_records - 1))
    cdef size_t fixed = <size_t>(<const char*>&place.path[0] - <const char*>place) - 8
    store_u64(&place.number, 0)
    fence_release()
    memcpy(<char*>place + 8, <const char*>record + 8,
           fixed + (record.path_length if record.path_length < PATH_BYTES else PATH_BYTES))
    memcpy(&place.tag, &record.tag, TAIL_BYTES)


cdef inline void _publish(const segment_t* s, journal_t* j) noexcept nogil:
    cdef uint64_t n = j.written
    cdef record_t* place = journal_ring(j) + (n & (s.header.journal_records - 1))
    store_u64(&place.number, n + 1)
    store_i64(&j.cost_sum, place.cost_sum)
    store_u64(&j.written, n + 1)


cdef inline void journal_append(const segment_t* s, int worker, record_t* record) noexcept nogil:
    """Write the record of a call that held nothing, and cost nothing."""
    cdef journal_t* j = layout_journal(s, worker)
    record.cost = 0
    record.cost_sum = j.cost_sum
    _write_body(s, j, record)
    _publish(s, j)


cdef inline void journal_prepare(const segment_t* s, int worker, record_t* record, const holds_t* h,
                                 const int64_t* charges) noexcept nogil:
    """Write the record but for its number, and the intent to make its captures.

    `charges` has HOLDS amounts, each from 0 (void) to what is held. The record's cost, running sum and RECORD_CHARGED
    are made of them.
    """
    cdef journal_t* j = layout_journal(s, worker)
    cdef uint64_t index
    cdef int kind
    record.cost = charges[<int>HOLD_ACCOUNT] if h.place[<int>HOLD_ACCOUNT] else 0
    record.cost_sum = j.cost_sum + record.cost
    for kind in range(<int>h.kinds):
        if h.place[kind] and charges[kind]:
            record.flags |= RECORD_CHARGED
    _write_body(s, j, record)
    j.kinds = h.kinds
    for kind in range(<int>h.kinds):
        j.place[kind] = h.place[kind]
        if h.place[kind]:
            index = h.place[kind] - 1
            j.after[kind] = layout_cell(s, worker, index).captured + charges[kind]
    j.open = h.open
    store_u64(&j.intent, j.written + 1)


cdef inline void journal_capture(const segment_t* s, int worker, const holds_t* h,
                                 const int64_t* charges) noexcept nogil:
    """Make the captures that journal_prepare has announced, and give back the rest of every hold."""
    cdef int kind
    for kind in range(<int>h.kinds):
        if h.place[kind]:
            _settle_one(s, worker, h.place[kind] - 1, h.held[kind], charges[kind])
    if unlikely(h.open != 0):
        store_i64(&layout_open(s, worker, h.open - 1).record.cost, 0)


cdef inline void journal_publish(const segment_t* s, int worker) noexcept nogil:
    """Let the record that journal_prepare has written be seen."""
    _publish(s, layout_journal(s, worker))


cdef inline void journal_settle(const segment_t* s, int worker, record_t* record, const holds_t* h,
                                const int64_t* charges) noexcept nogil:
    """Charge a call, write its record, give back the rest. `h` may hold nothing."""
    journal_prepare(s, worker, record, h, charges)
    journal_capture(s, worker, h, charges)
    journal_publish(s, worker)


cdef inline bint journal_finish(const segment_t* s, int worker) noexcept nogil:
    """Finish what a dead worker had decided to capture and record; whether there was anything.

    What else it held is charged as far as it is noted (`opens_finish`), and then given back (`account_claim_take`).
    """
    cdef journal_t* j = layout_journal(s, worker)
    cdef uint64_t index
    cdef int kind
    if j.intent != j.written + 1:
        return False
    for kind in range(<int>j.kinds):
        if j.place[kind]:
            index = j.place[kind] - 1
            store_i64(&layout_cell(s, worker, index).captured, j.after[kind])
            store_u8(layout_dirty(s, worker, index), 1)
    if j.open:
        store_i64(&layout_open(s, worker, j.open - 1).record.cost, 0)
    _publish(s, j)
    return True


cdef inline uint64_t journal_copy(const segment_t* s, int worker, uint64_t first, char* to, uint64_t most,
                                  uint64_t* following, uint64_t* lost) noexcept nogil:
    """Copy records from number `first` ≤ written on, at most `most`, whole ones only: how many.

    `following` is the number to go on with, `lost` how many before the first copied one were overwritten. The writer
    is never waited for: what it may have begun to overwrite during the copy is dropped from the front, where its old
    records lie, and counted as lost.
    """
    cdef journal_t* j = layout_journal(s, worker)
    cdef record_t* ring = journal_ring(j)
    cdef uint64_t size = s.header.journal_records
    cdef uint64_t written = load_u64(&j.written)
    cdef uint64_t start = first
    cdef uint64_t number, whole, run
    if written > size and start < written - size:
        start = written - size
    number = written - start if written - start < most else most
    run = size - (start & (size - 1))
    if run > number:
        run = number
    memcpy(to, &ring[start & (size - 1)], run * sizeof(record_t))
    memcpy(to + run * sizeof(record_t), ring, (number - run) * sizeof(record_t))
    fence_acquire()
    written = load_u64(&j.written)
    following[0] = start + number
    # Whole are those that the writer has not come round to; the one it would write next, unless it has begun.
    whole = written - size if written > size else 0
    if number and start <= whole and written >= size and load_u64(&ring[whole & (size - 1)].number) != whole + 1:
        whole += 1
    if start < whole:
        run = whole - start if whole - start < number else number
        number -= run
        start += run
        memmove(to, to + run * sizeof(record_t), number * sizeof(record_t))
    lost[0] = start - first
    return number

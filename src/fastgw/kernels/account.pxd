# Decides whether an account can pay: hold, capture and void over one shared word, right at any kill -9.
#
# `committed` = captured + held is the one word that admission swaps: committed + cost ≤ granted + credit. Beside it
# stands one cell per worker and account, written by that worker alone, with three sums that only grow:
#
#     reserved   everything ever held by this worker       written BEFORE committed grows
#     captured   everything charged                        written before the rest of a hold is given back
#     released   everything given back                     written AFTER committed shrinks
#
# reserved - released is therefore never below this worker's part of `committed`. When a worker dies, what it held is
# reserved - released - captured, and giving that back is a single store (`cell_orphans_release`). Whatever it left in
# `committed` beyond the sum of all cells is nobody's (`account_excess`), and is subtracted once. Both are functions
# of what is in memory, so that doing them again, after any crash, changes nothing.
from libc.stdint cimport int64_t, uint64_t

from fastgw.kernels.atomics cimport add_i64, cas_i64, load_i64, store_i64

cdef enum hold_result_t:
    HOLD_OK = 0
    HOLD_INSUFFICIENT = 1       # the balance itself does not cover the cost
    HOLD_HELD = 2               # it would, but calls in flight hold it now

cdef struct account_t:          # 64 bytes
    int64_t granted             # nanos; top-ups minus adjustments; the keeper's
    int64_t credit              # nanos below zero that are allowed; the keeper's
    int64_t committed           # nanos captured plus held
    uint64_t status
    uint64_t name[2]            # digest of the account's name
    uint64_t spare[2]

cdef struct cell_t:             # 32 bytes, one writer
    int64_t reserved
    int64_t captured
    int64_t released
    int64_t spare


cdef inline int64_t account_captured(const cell_t* cells, uint64_t stride, int workers) noexcept nogil:
    """Nanos charged by all workers; `cells` is worker 0's, the next worker's is `stride` cells on."""
    cdef int64_t total = 0
    cdef int w
    for w in range(workers):
        total += load_i64(&cells[w * stride].captured)
    return total


cdef inline bint account_hold(account_t* account, cell_t* cell, int64_t cost) noexcept nogil:
    """Reserve `cost` nanos > 0 if, and only if, the balance covers it at this instant."""
    cdef int64_t committed = load_i64(&account.committed)
    if committed + cost > load_i64(&account.granted) + load_i64(&account.credit):
        return False
    store_i64(&cell.reserved, cell.reserved + cost)
    while True:
        if cas_i64(&account.committed, &committed, committed + cost):
            return True
        if committed + cost > load_i64(&account.granted) + load_i64(&account.credit):
            store_i64(&cell.released, cell.released + cost)
            return False


cdef inline void account_capture(account_t* account, cell_t* cell, int64_t held, int64_t cost) noexcept nogil:
    """Charge `cost` of a hold of `held` nanos, 0 ≤ cost ≤ held, and give back the rest; cost 0 voids the hold."""
    if cost:
        store_i64(&cell.captured, cell.captured + cost)
    if held != cost:
        add_i64(&account.committed, cost - held)
        store_i64(&cell.released, cell.released + held - cost)


cdef inline hold_result_t account_why(const account_t* account, const cell_t* cells, uint64_t stride, int workers,
                                      int64_t cost) noexcept nogil:
    """Why a hold of `cost` was refused: for good, or only while calls in flight hold the money."""
    cdef int64_t captured = account_captured(cells, stride, workers)
    cdef int64_t room = load_i64(&account.granted) + load_i64(&account.credit) - captured
    return HOLD_HELD if cost <= room else HOLD_INSUFFICIENT


cdef inline int64_t cell_orphans_release(cell_t* cell) noexcept nogil:
    """Void everything that a dead worker held; returns the nanos given back."""
    cdef int64_t orphaned = cell.reserved - cell.released - cell.captured
    if orphaned:
        store_i64(&cell.released, cell.reserved - cell.captured)
    return orphaned


cdef inline int64_t account_excess(const account_t* account, const cell_t* cells, uint64_t stride,
                                   int workers) noexcept nogil:
    """Nanos in `committed` that no cell accounts for, or -1 when a worker was at it: ask again.

    Collected twice: all the sums only grow, so equal readings mean that nothing happened between them, and
    `committed` was read at an instant when every cell stood still. Only what was read then may be used: a third reading
    could miss what has been given back since. Calls then in flight can only make the answer smaller than the truth,
    never larger.
    """
    cdef int64_t first = 0
    cdef int64_t second = 0
    cdef int64_t used = 0
    cdef int64_t committed, reserved, released
    cdef int w
    for w in range(workers):
        first += load_i64(&cells[w * stride].reserved) + load_i64(&cells[w * stride].released)
    committed = load_i64(&account.committed)
    for w in range(workers):
        reserved = load_i64(&cells[w * stride].reserved)
        released = load_i64(&cells[w * stride].released)
        second += reserved + released
        used += reserved - released
    if first != second:
        return -1
    return committed - used if committed > used else 0

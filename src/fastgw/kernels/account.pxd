# Decides whether an account can pay: hold, capture and void over one shared word, right at any kill -9.
#
# A meter (a key's budget, a quota of a day or month) is an account as well, and all of this holds for it.
#
# `committed` = captured + held is the one word that admission swaps: committed + cost ≤ granted + credit. Beside it
# stands one cell per account in each row, written by the row's owner alone, with three sums that only grow:
#
#     reserved   everything ever held by this row          written BEFORE committed grows
#     captured   everything charged                        written before the rest of a hold is given back
#     released   everything given back                     written AFTER committed shrinks
#
# Rows are the workers', and the keeper's for what it takes out itself, so that `granted` only ever grows.
#
# reserved - released is therefore never below this row's part of `committed`. When a worker dies, what it held is
# reserved - released - captured, and giving that back is a single store (`cell_orphans_release`). Whatever it left in
# `committed` beyond the sum of all cells is nobody's (`account_excess`), and is subtracted once (`account_settle`). All
# are functions of what is in memory, so that doing them again, after any crash, changes nothing.
from libc.stdint cimport int64_t, uint8_t, uint64_t

from fastgw.kernels.atomics cimport add_i64, cas_i64, fence_full, load_i64, store_i64, store_u8

cdef enum hold_result_t:
    HOLD_OK = 0
    HOLD_INSUFFICIENT = 1       # the balance itself does not cover the cost
    HOLD_HELD = 2               # it would, but calls in flight hold it now

cdef struct account_t:          # 64 bytes
    int64_t granted             # nanos (calls, of a quota); the keeper's; of an account it only grows
    int64_t credit              # nanos below zero that are allowed; the keeper's
    int64_t committed           # nanos captured plus held
    uint64_t status             # account_status_t
    uint64_t name[2]            # digest of the account's name
    uint64_t quotas             # meters of calendar day and month: account_day, account_month
    uint64_t terms              # the end and the plan: account_expires_s, account_plan

cdef struct cell_t:             # 32 bytes, one writer
    int64_t reserved
    int64_t captured
    int64_t released
    int64_t spare


cdef inline int64_t account_captured(const cell_t* cells, uint64_t stride, int rows) noexcept nogil:
    """Nanos charged by all of `rows` rows; `cells` is the first row's cell, the next row's is `stride` cells on."""
    cdef int64_t total = 0
    cdef int row
    for row in range(rows):
        total += load_i64(&cells[row * stride].captured)
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


cdef inline void account_capture(account_t* account, cell_t* cell, uint8_t* dirty, int64_t held,
                                 int64_t cost) noexcept nogil:
    """Charge `cost` of a hold of `held` nanos, 0 ≤ cost ≤ held, and give back the rest; cost 0 voids the hold.

    `dirty` (NULL: nobody asks) is set after every store to `captured`, even when it is set already: the keeper clears
    it before it reads, so what it has not read is always marked.
    """
    if cost:
        store_i64(&cell.captured, cell.captured + cost)
        if dirty is not NULL:
            store_u8(dirty, 1)
    if held != cost:
        add_i64(&account.committed, cost - held)
        store_i64(&cell.released, cell.released + held - cost)


cdef inline hold_result_t account_why(const account_t* account, const cell_t* cells, uint64_t stride, int rows,
                                      int64_t cost) noexcept nogil:
    """Why a hold of `cost` was refused: for good, or only while calls in flight hold the money.

    `cells` and `rows` are of all rows, the keeper's first.
    """
    cdef int64_t captured = account_captured(cells, stride, rows)
    cdef int64_t room = load_i64(&account.granted) + load_i64(&account.credit) - captured
    return HOLD_HELD if cost <= room else HOLD_INSUFFICIENT


cdef inline int64_t cell_orphans_release(cell_t* cell) noexcept nogil:
    """Void everything that a dead worker held; returns the nanos given back."""
    cdef int64_t orphaned = cell.reserved - cell.released - cell.captured
    if orphaned:
        store_i64(&cell.released, cell.reserved - cell.captured)
    return orphaned


cdef inline bint account_surplus(const account_t* account, const cell_t* cells, uint64_t stride, int rows,
                                 int64_t* surplus) noexcept nogil:
    """`committed` less what all cells account for, at one instant; false when somebody was at it: ask again.

    Collected twice: all the sums only grow, so equal readings mean that nothing happened between them, and
    `committed` was read at an instant when every cell stood still. Only what was read then may be used: a third reading
    could miss what has been given back since. Calls then in flight can only make the answer smaller than the truth,
    never larger.
    """
    cdef int64_t first = 0
    cdef int64_t second = 0
    cdef int64_t used = 0
    cdef int64_t committed, reserved, released
    cdef int row
    for row in range(rows):
        first += load_i64(&cells[row * stride].reserved) + load_i64(&cells[row * stride].released)
    committed = load_i64(&account.committed)
    for row in range(rows):
        reserved = load_i64(&cells[row * stride].reserved)
        released = load_i64(&cells[row * stride].released)
        second += reserved + released
        used += reserved - released
    surplus[0] = committed - used
    return first == second


cdef inline int64_t account_excess(const account_t* account, const cell_t* cells, uint64_t stride,
                                   int rows) noexcept nogil:
    """Nanos in `committed` that no cell accounts for, or -1 when somebody was at it: ask again."""
    cdef int64_t surplus
    if not account_surplus(account, cells, stride, rows, &surplus):
        return -1
    return surplus if surplus > 0 else 0


cdef inline int64_t account_settle(account_t* account, cell_t* mine, const cell_t* cells, uint64_t stride,
                                   int rows) noexcept nogil:
    """Take out of `committed` what no cell accounts for: the nanos, or -1 when somebody was at it: try again.

    Supervisor and keeper may do it at once, each by a row of its own (`mine`: a dead worker's, the keeper's). The
    excess is first claimed like a hold, so that the other does not see it any more; what both have claimed shows as a
    `committed` below the sum of all cells, and who sees that steps back. One killed here leaves an orphan like any.
    """
    cdef int64_t excess = account_excess(account, cells, stride, rows)
    cdef int64_t surplus
    cdef bint mine_alone
    if excess <= 0:
        return excess
    store_i64(&mine.reserved, mine.reserved + excess)
    fence_full()
    mine_alone = account_surplus(account, cells, stride, rows, &surplus) and surplus >= 0
    if mine_alone:
        add_i64(&account.committed, -excess)
    store_i64(&mine.released, mine.released + excess)
    return excess if mine_alone else -1

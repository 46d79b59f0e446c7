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
# reserved - released is therefore never below this row's part of `committed`. When a worker dies, it held at most
# reserved - released - captured, and that is still claimed by its row: nobody else takes it out of `committed`, and who
# recovers takes it out once (account_claim_take), when all that all rows claim is seen to be there (account_surplus).
# Between its two stores it may have claimed what is not there (cell_claim_shrink). All are functions of what is in
# memory: whoever recovers can be killed as well, and the next goes on.
from libc.stdint cimport int64_t, uint8_t, uint64_t

from fastgw.kernels.atomics cimport add_i64, cas_i64, fence_full, load_i64, load_u64, store_i64, store_u8

cdef enum hold_result_t:
    HOLD_OK = 0
    HOLD_INSUFFICIENT = 1       # the balance itself does not cover the cost
    HOLD_HELD = 2               # it would, but calls in flight hold it now

cdef struct account_t:          # 64 bytes
    int64_t granted             # nanos (calls, of a quota); the keeper's; of an account it only grows
    int64_t credit              # nanos below zero that are allowed; the keeper's
    int64_t committed           # nanos captured plus held
    uint64_t status             # account_status_t, and account_flag_t in the high half
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


cdef inline void account_overdraw(account_t* account, cell_t* cell, int64_t amount) noexcept nogil:
    """Reserve `amount` > 0, whether it is there or not: of a meter, what has been used already."""
    store_i64(&cell.reserved, cell.reserved + amount)
    add_i64(&account.committed, amount)


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


cdef inline int64_t cell_claim(const cell_t* cell) noexcept nogil:
    """Nanos of `committed` that this row claims and has not charged: its open holds and, once its owner is dead, at
    least what the owner had left there."""
    return cell.reserved - cell.released - cell.captured


cdef inline bint account_surplus(const account_t* account, const cell_t* cells, uint64_t stride,
                                 const uint64_t* workers, int64_t* surplus) noexcept nogil:
    """`committed` less what all rows claim and have charged, at one instant; false: somebody was at it, ask again.

    Collected twice: all the sums only grow, so equal readings mean that nothing happened between them, and
    `committed` was read at an instant when every cell stood still. Only what was read then may be used: a third reading
    could miss what has been given back since. Calls then in flight can only make the answer smaller than the truth,
    never larger. `cells` is the keeper's, the first row's; `workers` the number of rows that follow, which can grow.
    """
    cdef uint64_t rows = 1 + load_u64(workers)
    cdef int64_t first = 0
    cdef int64_t second = 0
    cdef int64_t claimed = 0
    cdef int64_t committed, reserved, released
    cdef uint64_t row
    for row in range(rows):
        first += load_i64(&cells[row * stride].reserved) + load_i64(&cells[row * stride].released)
    committed = load_i64(&account.committed)
    for row in range(rows):
        reserved = load_i64(&cells[row * stride].reserved)
        released = load_i64(&cells[row * stride].released)
        second += reserved + released
        claimed += reserved - released
    surplus[0] = committed - claimed
    return first == second and rows == 1 + load_u64(workers)


cdef inline void account_claim_take(account_t* account, cell_t* mine) noexcept nogil:
    """Take all that `mine` claims out of `committed`, after a surplus ≥ 0 has been seen with that claim.

    The claims of all rows were in `committed` together then, and nobody takes out what another claims. So supervisor
    and keeper can do this at once, each by a row of its own: the dead worker's, and the keeper's.
    """
    add_i64(&account.committed, -cell_claim(mine))
    store_i64(&mine.released, mine.reserved - mine.captured)


cdef inline void cell_claim_shrink(cell_t* mine, int64_t nanos) noexcept nogil:
    """Give up that many nanos of a claim, or all of it, without touching `committed`: they are not there.

    The dead owner had not come to put them there, or had taken them out already. A surplus < 0 says how many, once
    others, who may be just holding, have had time enough.
    """
    cdef int64_t claim = cell_claim(mine)
    store_i64(&mine.released, mine.released + (nanos if nanos < claim else claim))


cdef inline void cell_claim_add(cell_t* mine, int64_t nanos) noexcept nogil:
    """Claim what nobody claims, because a surplus > 0 was seen. Another one may have claimed the same: look again."""
    store_i64(&mine.reserved, mine.reserved + nanos)
    fence_full()

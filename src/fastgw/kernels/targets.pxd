# Decides what the workers know of each other's use of a target: one table for all of them, right at any kill -9.
#
# A target is known by the digest of its upstream's name and its own. It has a slot: one word, and a page with a cell
# for every worker, which that worker alone writes. A limit over all workers is exact without a lock: a worker counts
# itself in first and then adds up the cells, so of two that come at once at least one sees the other.
#
# A slot's word is the digest with its state in the two lowest bits, see `slot_state_t`. Two workers that are first to
# use a target could take two slots for it. Therefore a worker first shows its wish, then looks at all slots, and only
# then takes the slot; whoever has the same wish may undo that of another. Who uses a slot marks its cell, and then
# looks whether the slot is still its target's; one process alone, the supervisor, frees slots that nobody uses.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fastgw.kernels.atomics cimport add_u64, cas_u64, fence_full, load_u64, store_u64

cdef extern from "<fcntl.h>":
    int posix_fallocate(int descriptor, int64_t offset, int64_t length) noexcept nogil

cdef enum:
    TARGETS_VERSION = 1
    TARGETS_MAX = 4096
    TARGETS_WORKERS = 64            # a target's cells are a page
    TARGETS_PAGE = 4096
    TARGETS_TURNS = 64

cdef enum slot_state_t:
    SLOT_WANTED = 1
    SLOT_TAKEN = 2
    SLOT_LEAVING = 3                # it is being looked whether anybody uses it

cdef enum:
    SLOT_STATES = 3                 # the bits of the state
    CELL_USED = 1                   # lowest bit of use_t.name: by a worker that lives

cdef struct targets_header_t:       # one page
    uint64_t magic
    uint64_t version
    uint64_t size

cdef struct use_t:                  # 64 bytes: what one worker does with one target
    uint64_t name                   # the digest of the target that this is about
    uint64_t load                   # calls in flight (low half), connections there are or are being made (high half)
    uint64_t calls                  # sent, repeated ones included
    uint64_t failures
    uint64_t retries                # calls that came here after another try
    uint64_t ejections
    uint64_t ejected_ms             # CLOCK_MONOTONIC until which no calls are sent; 0: they are
    uint32_t latency_us             # until the first byte of the answer, of late
    uint32_t waiting                # calls that wait for room here

cdef struct targets_t:              # as one process sees them
    char* base
    uint64_t size
    int descriptor
    uint64_t* slots
    use_t* cells
    uint64_t me                     # worker slot
    uint8_t claimed[TARGETS_MAX]    # the page of cells may be touched


cdef inline uint64_t targets_size() noexcept nogil:
    return TARGETS_PAGE + TARGETS_MAX * sizeof(uint64_t) + <uint64_t>TARGETS_MAX * TARGETS_PAGE


cdef inline void targets_map(targets_t* t, char* base) noexcept nogil:
    t.base = base
    t.size = targets_size()
    t.slots = <uint64_t*>(base + TARGETS_PAGE)
    t.cells = <use_t*>(base + TARGETS_PAGE + TARGETS_MAX * sizeof(uint64_t))


cdef inline use_t* targets_row(const targets_t* t, uint64_t slot) noexcept nogil:
    """The cells of a slot, by worker."""
    return t.cells + slot * TARGETS_WORKERS


cdef inline bint targets_touch(targets_t* t, uint64_t slot) noexcept nogil:
    """The cells of a slot may be read and written now; false when there is no memory for them."""
    cdef uint64_t at
    if not t.claimed[slot]:
        at = <uint64_t>(<char*>targets_row(t, slot) - t.base)
        if posix_fallocate(t.descriptor, <int64_t>at, TARGETS_PAGE) != 0:
            return False
        t.claimed[slot] = 1
    return True


cdef inline int targets_find(const targets_t* t, uint64_t name, int own, bint wanting, int* empty) noexcept nogil:
    """The slot of the target, or -1 and an `empty` one or -1. With `wanting`, wishes but that of slot `own` are undone;
    else they count as none."""
    cdef int i
    cdef uint64_t word
    empty[0] = -1
    for i in range(TARGETS_MAX):
        word = load_u64(&t.slots[i])
        if word == 0:
            if empty[0] < 0:
                empty[0] = i
        elif word & ~(<uint64_t>SLOT_STATES) == name and i != own:
            if word & SLOT_STATES != SLOT_WANTED:
                return i
            if wanting:
                cas_u64(&t.slots[i], &word, 0)
    return -1


cdef inline bint targets_use(targets_t* t, int slot, uint64_t name) noexcept nogil:
    """Mark this worker's cell as in use for the target; false if the slot is another's meanwhile, or may become so."""
    cdef use_t* cell = targets_row(t, slot) + t.me
    if cell.name & ~(<uint64_t>CELL_USED) != name:
        store_u64(&cell.name, 0)
        cell.load = 0
        cell.calls = 0
        cell.failures = 0
        cell.retries = 0
        cell.ejections = 0
        cell.ejected_ms = 0
        cell.latency_us = 0
        cell.waiting = 0
    store_u64(&cell.name, name | CELL_USED)
    fence_full()
    if load_u64(&t.slots[slot]) == name | SLOT_TAKEN:
        return True
    store_u64(&cell.name, name)
    return False


cdef inline int targets_take(targets_t* t, uint64_t name) noexcept nogil:
    """The slot of the target, in use by this worker from now on; -1 without room for another, -2 without memory."""
    cdef int slot, empty, other
    cdef uint64_t before, wish
    cdef int _turn
    for _turn in range(TARGETS_TURNS):
        slot = targets_find(t, name, -1, True, &empty)
        if slot < 0:
            if empty < 0:
                return -1
            before = 0
            wish = name | SLOT_WANTED
            if not cas_u64(&t.slots[empty], &before, wish):
                continue
            fence_full()                # whoever wants it too has shown that by now, or will see this
            slot = targets_find(t, name, empty, True, &other)
            if slot >= 0:
                cas_u64(&t.slots[empty], &wish, 0)
            elif cas_u64(&t.slots[empty], &wish, name | SLOT_TAKEN):
                slot = empty
            else:
                continue
        if not targets_touch(t, slot):
            return -2
        if targets_use(t, slot, name):
            return slot
    return -1


cdef inline bint targets_free(targets_t* t, uint64_t slot) noexcept nogil:
    """Free a slot that nobody uses; for one process alone."""
    cdef uint64_t word = load_u64(&t.slots[slot])
    cdef uint64_t name = word & ~(<uint64_t>SLOT_STATES)
    cdef use_t* row = targets_row(t, slot)
    cdef uint64_t w
    if word & SLOT_STATES == SLOT_TAKEN:
        if not cas_u64(&t.slots[slot], &word, name | SLOT_LEAVING):
            return False
    elif word & SLOT_STATES != SLOT_LEAVING:
        return False
    fence_full()
    if targets_touch(t, slot):
        for w in range(TARGETS_WORKERS):
            if load_u64(&row[w].name) == name | CELL_USED:
                store_u64(&t.slots[slot], name | SLOT_TAKEN)
                return False
    store_u64(&t.slots[slot], 0)
    return True


cdef inline bint use_enter(use_t* cell, const use_t* row, uint64_t workers, uint64_t one, uint64_t most) noexcept nogil:
    """Count one in where that makes no more than `most` over all workers.

    `one` is 1 for a call, 1 << 32 for a connection.
    """
    cdef uint64_t sum = 0
    cdef uint64_t name = cell.name
    cdef uint64_t w, load
    add_u64(&cell.load, one)
    fence_full()                        # the others see this, or are seen
    for w in range(workers):
        if load_u64(&row[w].name) == name:
            load = load_u64(&row[w].load)
            sum += <uint32_t>load if one == 1 else <uint32_t>(load >> 32)
    if sum <= most:
        return True
    add_u64(&cell.load, -one)
    return False


cdef inline void use_add(use_t* cell, uint64_t value) noexcept nogil:
    """What `use_enter` does where there is no limit."""
    store_u64(&cell.load, cell.load + value)


cdef inline void use_forget(use_t* cell) noexcept nogil:
    """A worker that is gone does nothing with a target."""
    store_u64(&cell.load, 0)
    cell.waiting = 0
    store_u64(&cell.ejected_ms, 0)
    store_u64(&cell.name, cell.name & ~(<uint64_t>CELL_USED))

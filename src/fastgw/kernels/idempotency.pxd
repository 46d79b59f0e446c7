# Decides whose call an idempotency key stands for: one table for all workers, right at any kill -9, without a lock.
#
# An entry is one word, which is swapped, and a record behind it. A word says who has the entry (a worker's slot), how
# far it is, forty bits of the key's digest, and how often the entry has changed hands, so that no two tenures look
# alike:
#
#     free       nobody's
#     wanted     a worker is making sure that nobody else has the key; whoever wants the same key may free it
#     in flight  its owner's alone: nobody else writes the word or the record until it is done or freed
#     done       the call was charged; the record says until when the key is remembered, and where the answer lies
#
# A key may lie in any of a few entries, its group of each level, so two workers could take two of them. Therefore a
# worker first shows its wish, then looks at the whole group, and only then goes on to "in flight": of two that do so
# at once, at least one sees the other. Levels are added as they fill, each twice the size of the one before.
#
# The file is sparse. A page is claimed from the file system before it is touched, by read or write: where memory is
# short, that is an answer and not a fault.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fastgw.kernels.atomics cimport cas_u64, fence_acquire, load_u64, store_u64

cdef extern from *:
    """
    #include <fcntl.h>
    #include <stdint.h>
    #define fg_fence_all() __atomic_thread_fence(__ATOMIC_SEQ_CST)
    #define FG_NOWHERE UINT64_MAX
    """
    const uint64_t NOWHERE "FG_NOWHERE"
    int posix_fallocate(int descriptor, int64_t offset, int64_t length) noexcept nogil
    void fence_all "fg_fence_all"() noexcept nogil

cdef enum:
    IDEM_VERSION = 1
    IDEM_WAYS = 16              # entries of a group
    IDEM_FIRST = 16384          # entries of the first level
    IDEM_LEVELS = 10            # at most: a number fits 24 bits (record_t.flags)
    IDEM_TURNS = 64
    IDEM_OWNERS = 64            # worker slots
    IDEM_PAGE = 4096

cdef enum idem_state_t:
    IDEM_FREE = 0
    IDEM_WANTED = 1
    IDEM_IN_FLIGHT = 2
    IDEM_DONE = 3

cdef enum idem_result_t:        # what became of a wish
    IDEM_NEW = 0                # the key is the caller's now, or nobody's where it only looked
    IDEM_BUSY = 1
    IDEM_KEPT = 2
    IDEM_FULL = 3

cdef struct idem_header_t:      # one page
    uint64_t magic              # written last
    uint64_t version
    uint64_t size
    uint64_t levels_max
    uint64_t answer_bytes       # of each worker's answers
    uint64_t levels             # in use

cdef struct answers_t:          # 64 bytes, one worker's answers
    uint64_t reserved           # bytes ever written, or about to be; byte n lies at n modulo answer_bytes
    uint64_t spare[7]

cdef struct entry_t:            # 64 bytes
    uint64_t digest[2]          # of account, route and key: the words that are not in the entry's place and tag
    uint64_t fingerprint[2]     # of the request
    int64_t expires_ns          # CLOCK_MONOTONIC
    uint64_t request            # second half of the request id, 0 until the charge is about to be made
    uint64_t answer             # where it begins among its owner's
    uint32_t length             # 0: none is kept
    uint32_t head               # bytes of it that are the head, and two bits of the caller's

cdef struct table_t:            # as one process sees them
    char* base
    uint64_t size
    int descriptor
    uint8_t* claimed            # a byte per page: it may be touched
    idem_header_t* header
    answers_t* answers
    uint64_t* words
    entry_t* records
    char* rings
    uint64_t me                 # worker slot

cdef struct spot_t:
    uint64_t number             # of an entry
    uint64_t word               # as it was seen


cdef inline uint64_t idem_entries(uint64_t levels) noexcept nogil:
    """Entries of so many levels."""
    return <uint64_t>IDEM_FIRST * ((<uint64_t>1 << levels) - 1)


cdef inline void idem_map(table_t* t, char* base, uint64_t levels_max, uint64_t answer_bytes) noexcept nogil:
    """Fill in every address (relative to `base`, which may be NULL to learn the size) and the size in bytes."""
    cdef uint64_t at = IDEM_PAGE
    t.base = base
    t.header = <idem_header_t*>base
    t.answers = <answers_t*>(base + at)
    at += IDEM_OWNERS * sizeof(answers_t)
    t.words = <uint64_t*>(base + at)
    at += idem_entries(levels_max) * sizeof(uint64_t)
    t.records = <entry_t*>(base + at)
    at += idem_entries(levels_max) * sizeof(entry_t)
    t.rings = base + at
    t.size = at + IDEM_OWNERS * answer_bytes


cdef inline bint idem_touch(table_t* t, const void* address, uint64_t length) noexcept nogil:
    """These bytes may be read and written now; false when there is no memory for them."""
    cdef uint64_t page = <uint64_t>(<const char*>address - t.base) // IDEM_PAGE
    cdef uint64_t last = <uint64_t>(<const char*>address - t.base + length - 1) // IDEM_PAGE
    while page <= last:
        if not t.claimed[page]:
            if posix_fallocate(t.descriptor, page * IDEM_PAGE, IDEM_PAGE) != 0:
                return False
            t.claimed[page] = 1
        page += 1
    return True


cdef inline int idem_state(uint64_t word) noexcept nogil:
    return <int>(word & 3)


cdef inline uint64_t idem_owner(uint64_t word) noexcept nogil:
    return word >> 2 & 63


cdef inline uint64_t idem_tag(uint64_t word) noexcept nogil:
    return word >> 24


cdef inline uint64_t idem_tag_of(const uint64_t* digest) noexcept nogil:
    return digest[0] >> 24


cdef inline uint64_t idem_freed(uint64_t word) noexcept nogil:
    """The word of the entry once it is nobody's: the count of its tenures stays."""
    return word & 0xffff00


cdef inline uint64_t idem_word(uint64_t before, uint64_t owner, uint64_t digest) noexcept nogil:
    """The word of an entry that `owner` wants from now on."""
    return (digest >> 24) << 24 | (((before >> 8) + 1) & 0xffff) << 8 | owner << 2 | IDEM_WANTED


cdef inline int idem_is(table_t* t, uint64_t number, uint64_t word, const uint64_t* digest, int64_t now) noexcept nogil:
    """Whether an entry that is done has this key and counts: 1 or 0; 2 when it counts no more, -1 when it has changed
    meanwhile, -2 without memory."""
    cdef entry_t* record = &t.records[number]
    cdef bint same
    cdef int64_t expires_ns
    if not idem_touch(t, record, sizeof(entry_t)):
        return -2
    same = record.digest[0] == digest[1] and record.digest[1] == digest[2]
    expires_ns = record.expires_ns
    fence_acquire()
    if load_u64(&t.words[number]) != word:
        return -1
    return 2 if expires_ns <= now else same


cdef inline uint64_t idem_group(uint64_t level, const uint64_t* digest) noexcept nogil:
    """The first of the IDEM_WAYS entries of a level in which the key may lie."""
    return idem_entries(level) + digest[0] % (((<uint64_t>IDEM_FIRST) << level) // IDEM_WAYS) * IDEM_WAYS


cdef inline idem_result_t idem_look(table_t* t, const uint64_t* digest, int64_t now, bint wanted, uint64_t own,
                                    spot_t* found, spot_t* empty) noexcept nogil:
    """Look for the key: BUSY or KEPT with where it is, or NEW with an entry that can be had (number NOWHERE: none);
    FULL without memory to look at.

    With `wanted`, what is no more than a wish for the key is undone, but for the entry `own`; else it counts as BUSY.
    A call in flight is known by its tag alone: of two keys in a group with the same forty bits, one waits.
    """
    cdef uint64_t levels = load_u64(&t.header.levels)
    cdef uint64_t level, n, end, w
    cdef int state, same
    empty.number = NOWHERE
    for level in range(levels):
        n = idem_group(level, digest)
        end = n + IDEM_WAYS
        if not idem_touch(t, &t.words[n], IDEM_WAYS * sizeof(uint64_t)):
            return IDEM_FULL
        while n < end:
            w = load_u64(&t.words[n])
            state = idem_state(w)
            if state == IDEM_FREE:
                if empty.number == NOWHERE:
                    empty.number = n
                    empty.word = w
            elif idem_tag(w) == idem_tag_of(digest) and n != own:
                found.number = n
                found.word = w
                if state == IDEM_WANTED and wanted:
                    cas_u64(&t.words[n], &w, idem_freed(w))
                    continue                        # look at it again, whatever it is now
                if state != IDEM_DONE:
                    return IDEM_BUSY
                same = idem_is(t, n, w, digest, now)
                if same == 1:
                    return IDEM_KEPT
                if same == -1:
                    continue
                if same == -2:
                    return IDEM_FULL
                if same == 2:                       # most likely what the key itself has left
                    empty.number = n
                    empty.word = w
            n += 1
    return IDEM_NEW


cdef inline bint idem_outlived(table_t* t, const uint64_t* digest, int64_t now, spot_t* empty) noexcept nogil:
    """Find an entry of the key's groups, of whatever key, that is done and counts no more."""
    cdef uint64_t level, n
    for level in range(load_u64(&t.header.levels)):
        n = idem_group(level, digest)
        for n in range(n, n + IDEM_WAYS):
            empty.number = n
            empty.word = load_u64(&t.words[n])
            if idem_state(empty.word) == IDEM_DONE and idem_is(t, n, empty.word, digest, now) == 2:
                return True
    return False


cdef inline bint idem_grow(table_t* t, uint64_t levels) noexcept nogil:
    """One level more than `levels`, if there may be one."""
    if levels >= t.header.levels_max:
        return False
    cas_u64(&t.header.levels, &levels, levels + 1)
    return True


cdef inline idem_result_t idem_take(table_t* t, const uint64_t* digest, int64_t now,
                                    spot_t* found) noexcept nogil:
    """Take the key for this worker: NEW, and it is in flight there, this worker's alone; or who has it."""
    cdef uint64_t levels, before, mine
    cdef spot_t empty, other
    found.number = NOWHERE                          # who has it, unless its entry goes from hand to hand
    found.word = 0
    cdef entry_t* record
    cdef idem_result_t result
    cdef int _turn
    for _turn in range(IDEM_TURNS):
        levels = load_u64(&t.header.levels)
        result = idem_look(t, digest, now, True, NOWHERE, found, &empty)
        if result != IDEM_NEW:
            return result
        if empty.number == NOWHERE and not idem_outlived(t, digest, now, &empty):
            if not idem_grow(t, levels):
                return IDEM_FULL
            continue
        record = &t.records[empty.number]
        if not idem_touch(t, record, sizeof(entry_t)):
            return IDEM_FULL
        before = empty.word
        mine = idem_word(before, t.me, digest[0])
        if not cas_u64(&t.words[empty.number], &before, mine):
            continue
        fence_all()                                 # whoever wants it too has shown that by now, or will see this
        result = idem_look(t, digest, now, True, empty.number, found, &other)
        found.number = empty.number
        found.word = mine + (IDEM_IN_FLIGHT - IDEM_WANTED)
        if result != IDEM_NEW:
            cas_u64(&t.words[empty.number], &mine, idem_freed(mine))
        elif cas_u64(&t.words[empty.number], &mine, found.word):
            fence_all()                             # who reads the record meanwhile must find that the word has changed
            record.digest[0] = digest[1]
            record.digest[1] = digest[2]
            record.request = 0
            record.length = 0
            return IDEM_NEW
    return IDEM_BUSY


cdef inline void idem_end(table_t* t, uint64_t number, bint done) noexcept nogil:
    """A call in flight is over: its key is remembered, or is nobody's."""
    cdef uint64_t word = load_u64(&t.words[number])
    store_u64(&t.words[number], word + (IDEM_DONE - IDEM_IN_FLIGHT) if done else idem_freed(word))

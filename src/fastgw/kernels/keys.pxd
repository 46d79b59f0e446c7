# Decides which key record a digest names: open addressing over the segment's index, read without a lock.
#
# One writer, the keeper. A record is complete before the index names it, and no key ever leaves the index: a key that
# is gone is revoked. Digests are keyed hashes, so their first word is spread evenly whatever a caller sends.
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from fastgw.kernels.atomics cimport load_u64, store_u64
from fastgw.kernels.layout cimport key_t, segment_t


cdef inline int64_t keys_find(const segment_t* s, const uint64_t* digest) noexcept nogil:
    """The key's index, or -1. All 32 bytes are compared, in a time that does not depend on where they differ."""
    cdef uint64_t at = digest[0] & s.index_mask
    cdef uint64_t tag = digest[1] >> 32
    cdef uint64_t slot
    cdef uint32_t number
    cdef const key_t* key
    while True:
        slot = load_u64(&s.index[at])
        if slot == 0:
            return -1
        if slot >> 32 == tag:
            number = <uint32_t>slot - 1
            key = &s.keys[number]
            if ((key.digest[0] ^ digest[0]) | (key.digest[1] ^ digest[1])
                    | (key.digest[2] ^ digest[2]) | (key.digest[3] ^ digest[3])) == 0:
                return number
        at = (at + 1) & s.index_mask


cdef inline void _index(segment_t* s, uint64_t number) noexcept nogil:
    cdef const key_t* key = &s.keys[number]
    cdef uint64_t at = key.digest[0] & s.index_mask
    while s.index[at]:
        at = (at + 1) & s.index_mask
    store_u64(&s.index[at], (key.digest[1] >> 32) << 32 | (number + 1))
    store_u64(&s.header.key_changes, s.header.key_changes + 1)


cdef inline int64_t keys_add(segment_t* s, const uint64_t* digest, uint32_t account, uint32_t limit, uint64_t state,
                             int64_t expires_s) noexcept nogil:
    """Append a key that is not there yet (`state` from key_state()); its index, or -1 when the table is full.

    A writer that was killed between its last two stores has left a key that the index does not name: it is named now,
    or taken for this key if it is the same, so that no room is lost.
    """
    cdef uint64_t number = s.header.keys
    cdef key_t* key
    if number and keys_find(s, s.keys[number - 1].digest) < 0:
        if memcmp(s.keys[number - 1].digest, digest, 32) == 0:
            number -= 1
        else:
            _index(s, number - 1)
    if number >= s.header.keys_max:
        return -1
    key = &s.keys[number]
    memcpy(key.digest, digest, 32)
    key.account = account
    key.limit = limit
    key.expires_s = expires_s
    key.tat = 0
    store_u64(&key.state, state)
    store_u64(&s.header.keys, number + 1)
    _index(s, number)
    return <int64_t>number

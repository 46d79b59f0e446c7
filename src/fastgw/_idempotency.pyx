# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: embedsignature=True, embedsignature.format=clinic
"""Decides what a call with an Idempotency-Key is (draft-ietf-httpapi-idempotency-key-header-07): the first that has
it, one whose first is still in flight, or a repetition, and what such a one gets.

The table lies in a file of its own beside the segment, that all workers map. A key is known by the keyed digest of the
account's name, the route's name and itself, so the table means the same to whatever segment the account lies in. It is
of one boot of the machine, whose clock it goes by.
"""
import errno
import os

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset
from posix.mman cimport munmap
from posix.unistd cimport close

from fastgw._call cimport Ticket
from fastgw._core cimport Gate
from fastgw._http cimport RequestHead
from fastgw._mapping cimport make_file, map_file
from fastgw._segment cimport Segment
from fastgw.kernels.atomics cimport (
    CLOCK_MONOTONIC, cas_u64, clock_ns, fence_acquire, fence_release, load_u64, store_u64,
)
from fastgw.kernels.blake2b cimport blake2b_digest, blake2b_start
from fastgw.kernels.claim cimport claim_nothing
from fastgw.kernels.head cimport field_t
from fastgw.kernels.idempotency cimport (
    IDEM_BUSY, IDEM_FULL, IDEM_IN_FLIGHT, IDEM_KEPT, IDEM_LEVELS, IDEM_NEW, IDEM_PAGE, IDEM_VERSION, IDEM_WANTED,
    NOWHERE, entry_t, fence_all, idem_end, idem_entries, idem_freed, idem_header_t, idem_look, idem_map, idem_owner,
    idem_state, idem_take, idem_touch, spot_t, table_t,
)
from fastgw.kernels.journal cimport journal_ring
from fastgw.kernels.layout cimport journal_t, layout_journal, record_t
from fastgw.kernels.octets cimport TOKEN, same_lower

from fastgw._segment import SegmentError, boot_number
from fastgw.refusals import Refusal

cdef uint64_t MAGIC = 0x6661737467776964
cdef str UNFIT = "damaged: remove it, which forgets which calls have been made"

NEW = IDEM_NEW
BUSY = IDEM_BUSY
KEPT = IDEM_KEPT
FULL = IDEM_FULL
ANSWER_MAX = 65536      # bytes of an answer that is kept

cdef enum:
    KEY_MAX = 255
    CHUNK = 1 << 20
    HEAD_MASK = 0x3fffffff
    HEAD_DATED = 1 << 30
    FINGERPRINTED = 1 << 31

cdef int IN_FLIGHT_REFUSAL = Refusal.IDEMPOTENCY_IN_FLIGHT
cdef int MISMATCH_REFUSAL = Refusal.IDEMPOTENCY_MISMATCH
cdef int NO_ANSWER_REFUSAL = Refusal.IDEMPOTENCY_NO_ANSWER


cpdef bytes idempotency_key(RequestHead head):
    """The key of the request just scanned, 1 to 255 bytes, or None without one.

    It is a String of RFC 8941 §3.3.3 without parameters; the same text without quotes is the same key, if it is a token
    in the wider sense of §3.3.4 that may begin with any of its characters, or with "=" as in Base64. Raises ValueError
    for anything else, and for two of them.
    """
    cdef const char* at = head.at
    cdef const char* text = NULL
    cdef size_t length = 0
    cdef size_t i = 0
    cdef size_t n = 0
    cdef uint32_t f
    cdef uint8_t byte
    cdef char key[KEY_MAX]
    cdef field_t* field
    for f in range(head.h.fields):
        field = &head.h.field[f]
        if field.name_length == 15 and same_lower(at + field.name, b"idempotency-key", 15):
            if text is not NULL:
                raise ValueError("two keys")
            text = at + field.value
            length = field.end - field.value
    if text is NULL:
        return None
    quoted = length > 1 and text[0] == 34 and text[length - 1] == 34
    if quoted:
        text += 1
        length -= 2
    while i < length:
        byte = <uint8_t>text[i]
        if quoted and byte == 92:
            i += 1
            if i == length or (text[i] != 34 and text[i] != 92):
                raise ValueError("a backslash that escapes nothing")
            byte = <uint8_t>text[i]
        elif byte == 34 if quoted else not (TOKEN[byte] or byte == 58 or byte == 47 or byte == 61):
            raise ValueError("neither a string nor a token")
        if byte < 32 or byte > 126 or n == KEY_MAX:
            raise ValueError("too long, or not of ASCII")
        key[n] = byte
        n += 1
        i += 1
    if n == 0:
        raise ValueError("empty")
    return key[:n]


def table_path(segment: Segment) -> str:
    """Where the table lies that belongs to a segment; another file for every boot, secret and version."""
    name = segment.digest(b"idempotency %d %d" % (IDEM_VERSION, boot_number()))[:8].hex()
    return f"{segment.path}.idempotency-{name}"


def recover(segment: Segment, worker: int) -> tuple[int, int]:
    """`Idempotency.recover` for the supervisor; (0, 0) where no call ever had a key."""
    if not os.path.exists(table_path(segment)):
        return 0, 0
    return Idempotency(segment, worker).recover()


cdef class Idempotency:
    """The table as the worker in one slot sees it. It is made when it is not there.

    `levels` (1 to 10, of 16,384 entries and more) and `answer_bytes` (of each worker) count for a new one. After `find`
    and `take`, `number` and `word` say where the key was found. Raises OSError without room, SegmentError for a file
    that is not to be trusted.
    """

    def __cinit__(self, *_, **__):
        memset(&self.t, 0, sizeof(table_t))
        self.t.descriptor = -1

    def __init__(self, Segment segment, int worker, *, int levels=IDEM_LEVELS, uint64_t answer_bytes=8 << 20):
        segment._worker(worker)
        if not 1 <= levels <= IDEM_LEVELS or not ANSWER_MAX <= answer_bytes <= 1 << 40 or answer_bytes % IDEM_PAGE:
            raise ValueError("levels are 1 to 10, answer_bytes whole pages for at least one answer")
        self.segment = segment
        self.path = table_path(segment)
        self.t.me = worker
        blake2b_start(self.start, segment.s.header.secret)
        if not os.path.exists(self.path):
            self._create(levels, answer_bytes)
        self._map()

    def __dealloc__(self):
        if self.t.base is not NULL:
            munmap(self.t.base, self.t.size)
        if self.t.descriptor >= 0:
            close(self.t.descriptor)
        free(self.t.claimed)

    def _create(self, levels: int, answer_bytes: int) -> None:
        cdef table_t layout
        cdef idem_header_t header
        memset(&header, 0, sizeof(header))
        idem_map(&layout, NULL, levels, answer_bytes)
        header.magic = MAGIC
        header.version = IDEM_VERSION
        header.size = layout.size
        header.levels_max = levels
        header.answer_bytes = answer_bytes
        header.levels = 1
        make_file(self.path, (<char*>&header)[:sizeof(header)], layout.size, IDEM_PAGE, False)

    cdef _map(self):
        cdef idem_header_t* h
        self.t.base = map_file(self.path, UNFIT, IDEM_PAGE, &self.t.size, &self.t.descriptor)
        h = <idem_header_t*>self.t.base
        if h.magic != MAGIC or h.version != IDEM_VERSION or h.size != self.t.size:
            raise SegmentError(f"{self.path} is {UNFIT}")
        idem_map(&self.t, self.t.base, h.levels_max, h.answer_bytes)
        self.t.claimed = <uint8_t*>calloc(self.t.size // IDEM_PAGE + 1, 1)
        if self.t.claimed is NULL:
            raise MemoryError
        if not idem_touch(&self.t, self.t.base, 2 * IDEM_PAGE):
            raise OSError(errno.ENOSPC, f"no room for {self.path}")

    # Whose key it is

    cdef _digest(self, Gate gate, bytes route, bytes key):
        """The digest of the account, the route and the key, of the request that `gate` has just decided."""
        name = (<char*>self.segment.s.accounts[gate.now.account - 1].name)[:16]
        whole = name + route + b"\0" + key
        blake2b_digest(self.start, PyBytes_AS_STRING(whole), PyBytes_GET_SIZE(whole), self.digest)

    cpdef int find(self, Gate gate, bytes route, bytes key):
        """Who has the key: NEW for nobody, BUSY, KEPT, or FULL without memory to look."""
        cdef spot_t found, empty
        cdef int result
        self._digest(gate, route, key)
        result = idem_look(&self.t, self.digest, clock_ns(CLOCK_MONOTONIC), False, NOWHERE, &found, &empty)
        if result == IDEM_BUSY or result == IDEM_KEPT:
            self.number = found.number
            self.word = found.word
        return result

    cpdef int take(self, Gate gate, bytes route, bytes key):
        """NEW when the key is this worker's now, until `end`; else BUSY, KEPT, or FULL without room for another."""
        cdef spot_t found
        cdef int result
        self._digest(gate, route, key)
        result = idem_take(&self.t, self.digest, clock_ns(CLOCK_MONOTONIC), &found)
        if result != IDEM_FULL:
            self.number = found.number
            self.word = found.word
        return result

    cpdef Ticket paid_ticket(self, Gate gate):
        """The ticket of a request that `gate` has refused for want of money: nothing was taken for it, nor is held."""
        claim_nothing(&gate.claim)
        return gate.ticket()

    # The call that has it

    cpdef keep(self, Ticket ticket, unsigned long long number, bytes fingerprint, bytes head, bytes body, bint dated,
               long long window_ms):
        """The call in entry `number` is about to be charged; to be followed by `Gate.settle`, then `end`.

        `fingerprint` is of the whole request (16 bytes), empty when not all of it came. `head` is whole lines of the
        answer, `body` None when there is no answer to keep, `dated` says that the lines have a Date.
        """
        cdef entry_t* entry = &self.t.records[number]
        if body is None or PyBytes_GET_SIZE(head) + PyBytes_GET_SIZE(body) > ANSWER_MAX:
            entry.length = 0
        else:
            self._write(entry, head, body)
        entry.head = <uint32_t>PyBytes_GET_SIZE(head)
        if dated:
            entry.head |= HEAD_DATED
        if PyBytes_GET_SIZE(fingerprint) == 16:
            entry.head |= <uint32_t>FINGERPRINTED
            memcpy(entry.fingerprint, PyBytes_AS_STRING(fingerprint), 16)
        entry.expires_ns = clock_ns(CLOCK_MONOTONIC) + window_ms * 1_000_000
        # The record of the call names the entry, and the entry the call: who finds both knows that it was charged.
        ticket.record.flags = (ticket.record.flags & 0xff) | <uint32_t>(number + 1) << 8
        fence_release()
        store_u64(&entry.request, ticket.record.request[1])

    cdef int _write(self, entry_t* entry, bytes head, bytes body) noexcept:
        """Put an answer behind the others of this worker, over the oldest of them; none where memory is short."""
        cdef uint64_t room = self.t.header.answer_bytes
        cdef uint64_t length = PyBytes_GET_SIZE(head) + PyBytes_GET_SIZE(body)
        cdef uint64_t at = self.t.answers[self.t.me].reserved
        cdef char* to
        if at % room + length > room:
            at += room - at % room
        to = self.t.rings + self.t.me * room + at % room
        entry.length = 0
        if not idem_touch(&self.t, to, length):
            return 0
        store_u64(&self.t.answers[self.t.me].reserved, at + length)
        fence_all()                                 # who reads what is overwritten now must see that it is
        memcpy(to, PyBytes_AS_STRING(head), PyBytes_GET_SIZE(head))
        memcpy(to + PyBytes_GET_SIZE(head), PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body))
        entry.answer = at
        entry.length = <uint32_t>length
        return 0

    cpdef end(self, unsigned long long number, bint done):
        """The call in entry `number` is over: the key is remembered if it was charged, else free."""
        idem_end(&self.t, number, done)

    # A repetition

    cpdef tuple answer(self, unsigned long long number, unsigned long long word, bytes fingerprint):
        """What the repetition of the call found in entry `number` gets: (0, head, body, dated) as kept, or the refusal
        and nothing."""
        cdef entry_t entry
        cdef bytes data = None
        cdef uint32_t head
        memcpy(&entry, &self.t.records[number], sizeof(entry_t))
        if entry.length:
            data = self._read(&entry, idem_owner(word))
        fence_acquire()
        if load_u64(&self.t.words[number]) != word:
            return IN_FLIGHT_REFUSAL, b"", b"", False           # just forgotten, and taken anew: to be asked again
        if entry.head & <uint32_t>FINGERPRINTED and memcmp(entry.fingerprint, PyBytes_AS_STRING(fingerprint), 16) != 0:
            return MISMATCH_REFUSAL, b"", b"", False
        if data is None or not entry.head & <uint32_t>FINGERPRINTED:
            return NO_ANSWER_REFUSAL, b"", b"", False
        head = entry.head & HEAD_MASK
        return 0, data[:head], data[head:], entry.head & HEAD_DATED != 0

    cdef bytes _read(self, const entry_t* entry, uint64_t owner):
        """A kept answer, or None when it has been overwritten."""
        cdef uint64_t room = self.t.header.answer_bytes
        cdef char* at = self.t.rings + owner * room + entry.answer % room
        cdef bytes data
        if (entry.length > ANSWER_MAX or entry.answer % room + entry.length > room
                or load_u64(&self.t.answers[owner].reserved) > entry.answer + room
                or not idem_touch(&self.t, at, entry.length)):
            return None
        data = PyBytes_FromStringAndSize(at, entry.length)
        fence_acquire()
        return data if load_u64(&self.t.answers[owner].reserved) <= entry.answer + room else None

    # After a kill

    def recover(self) -> tuple[int, int]:
        """Free the keys of the calls that the dead worker of this slot had in flight, but keep the one whose charge was
        made: (freed, kept). After `Segment.recover`, before another worker takes the slot; others go on meanwhile."""
        cdef journal_t* journal = layout_journal(&self.segment.s, <int>self.t.me)
        cdef uint64_t written = load_u64(&journal.written)
        cdef record_t* last
        cdef uint64_t request = 0
        cdef uint64_t charged = NOWHERE
        cdef uint64_t number, word, count
        cdef uint64_t entries = idem_entries(load_u64(&self.t.header.levels))
        cdef const uint64_t* words
        freed = kept = 0
        if written:
            last = &journal_ring(journal)[(written - 1) & (self.segment.s.header.journal_records - 1)]
            request = last.request[1]
            charged = <uint64_t>(last.flags >> 8) - 1
        at = <char*>self.t.words - self.t.base
        for first in range(0, entries * 8, CHUNK):
            # Read, not looked at where it is mapped: that would take memory for what nobody has ever touched.
            data = os.pread(self.t.descriptor, min(CHUNK, entries * 8 - first), at + first)
            words = <const uint64_t*>PyBytes_AS_STRING(data)
            count = len(data) // 8
            for number in range(count):
                word = words[number]
                if idem_owner(word) == self.t.me and idem_state(word) in (IDEM_WANTED, IDEM_IN_FLIGHT):
                    if self._restore(first // 8 + number, request, charged):
                        kept += 1
                    else:
                        freed += 1
        return freed, kept

    cdef _restore(self, uint64_t number, uint64_t request, uint64_t last):
        """Finish what the dead worker began in one entry; whether the key is kept."""
        cdef uint64_t word = load_u64(&self.t.words[number])
        if idem_state(word) == IDEM_WANTED:
            cas_u64(&self.t.words[number], &word, idem_freed(word))
            return False
        done = number == last and load_u64(&self.t.records[number].request) == request
        idem_end(&self.t, number, done)
        return done

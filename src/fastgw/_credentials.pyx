# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: embedsignature=True, embedsignature.format=clinic
"""Decides with which of its keys a provider may be asked, over all workers: who rests, is refused, or has no room.

The table lies in a file of its own beside the segment, that all workers map; it is of that very segment, and goes with
it. No key is in it, only digests. What it holds is for limits and for people: nothing in it is money.
"""
import hashlib
import os

cimport cython
from libc.stdint cimport uint64_t
from libc.string cimport memset
from posix.mman cimport munmap
from posix.unistd cimport close

from fastgw._mapping cimport make_file, map_file
from fastgw._segment cimport Segment
from fastgw.kernels.atomics cimport CLOCK_MONOTONIC, clock_ns, load_u64
from fastgw.kernels.bucket cimport limit_t
from fastgw.kernels.credentials cimport (
    CREDENTIALS_MAX, CREDENTIALS_PAGE, CREDENTIALS_SCALE, CREDENTIALS_VERSION, PAUSE_SHIFT, PAUSE_WHY, WHY_RESTING,
    credential_exhaust, credential_free, credential_refuse, credential_rest, credential_see, credential_t,
    credential_take, credential_wait_ms, credential_worked, credentials_find, credentials_header_t,
)
from fastgw.kernels.tokens cimport tokens_owe, tokens_return

from fastgw._segment import SegmentError

cdef uint64_t MAGIC = 0x6661737467776372
cdef str UNFIT = "damaged: remove it, and start again"

MOST = CREDENTIALS_MAX


def table_path(segment: Segment) -> str:
    """Where the table lies that belongs to a segment; another file for every segment and version."""
    name = hashlib.blake2b(b"credentials %d" % CREDENTIALS_VERSION + segment.identity, digest_size=8).hexdigest()
    return f"{segment.path}.credentials-{name}"


cdef _set_limit(limit_t* limit, object rate):
    """Never faster than `rate`, a `model.Rate`; no limit for None."""
    memset(limit, 0, sizeof(limit_t))
    if rate is not None:
        limit.scale = CREDENTIALS_SCALE
        limit.interval = -(-rate.period_ns * CREDENTIALS_SCALE // rate.count)
        limit.burst = rate.burst
        limit.tolerance = (limit.burst - 1) * limit.interval


cdef class Credentials:
    """The table, made when it is not there. Raises OSError without room, SegmentError for a file that is not to be
    trusted."""

    def __cinit__(self, *_, **__):
        self.descriptor = -1

    def __init__(self, Segment segment):
        self.segment = segment
        self.path = table_path(segment)
        if not os.path.exists(self.path):
            self._create()
        self._map()

    def __dealloc__(self):
        if self.base is not NULL:
            munmap(self.base, self.size)
        if self.descriptor >= 0:
            close(self.descriptor)

    def _create(self) -> None:
        cdef credentials_header_t header
        memset(&header, 0, sizeof(header))
        header.magic = MAGIC
        header.version = CREDENTIALS_VERSION
        header.size = CREDENTIALS_PAGE + CREDENTIALS_MAX * sizeof(credential_t)
        make_file(self.path, (<char*>&header)[:sizeof(header)], header.size, header.size, False)

    cdef _map(self):
        cdef uint64_t wanted = CREDENTIALS_PAGE + CREDENTIALS_MAX * sizeof(credential_t)
        cdef credentials_header_t* h
        self.base = map_file(self.path, UNFIT, wanted, &self.size, &self.descriptor)
        h = <credentials_header_t*>self.base
        if h.magic != MAGIC or h.version != CREDENTIALS_VERSION or h.size != self.size or self.size != wanted:
            raise SegmentError(f"{self.path} is {UNFIT}")
        self.cells = <credential_t*>(self.base + CREDENTIALS_PAGE)

    cdef uint64_t _now_ns(self) noexcept:
        return <uint64_t>clock_ns(CLOCK_MONOTONIC) - self.segment.s.header.epoch_ns

    def _name(self, provider: str, secret: str) -> int:
        text = f"{provider}\0{secret}".encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=8, key=self.segment.identity).digest(), "little") | 2

    def standing(self, provider: str, secret: str, rate: object, token_rate: object) -> Standing:
        """That of a key, "" for none, with limits in calls and in tokens, each a `model.Rate` or None."""
        cdef Standing standing = Standing.__new__(Standing)
        standing.table = self
        standing.name = self._name(provider, secret)
        _set_limit(&standing.requests, rate)
        _set_limit(&standing.tokens, token_rate)
        standing._own()
        return standing

    def look(self, provider: str, secret: str) -> tuple[int, int, int, int, int, int]:
        """What is known of a key: why it is left in peace (see `states.CredentialState`), for how many milliseconds
        more, and since how many seconds; calls made with it, times that it was told to rest, and was refused."""
        cdef uint64_t now_ns = self._now_ns()
        cdef uint64_t now_ms = now_ns // 1_000_000
        cdef credential_t* cell = credentials_find(self.cells, self._name(provider, secret), 0, False)
        cdef uint64_t pause, why, until, since, told
        if cell is NULL:
            return 0, 0, 0, 0, 0, 0
        pause = load_u64(&cell.pause)
        told = load_u64(&cell.told)
        why = pause & PAUSE_WHY
        until = pause >> PAUSE_SHIFT
        if why <= WHY_RESTING and until <= now_ms:
            return 0, 0, 0, cell.calls, told & 0xffffffff, told >> 32
        since = load_u64(&cell.seen) >> 32
        return (why, max(until, now_ms) - now_ms, max(now_ms // 1_000, since) - since, cell.calls, told & 0xffffffff,
                told >> 32)


cdef class Standing:
    """How a key of a provider stands with it, as all workers know it."""

    cdef credential_t* _own(self) noexcept:
        """Its cell, which may have been made over to another key."""
        if self.cell is NULL or load_u64(&self.cell.name) != self.name:
            self.cell = credentials_find(self.table.cells, self.name, self.table._now_ns() // 1_000_000_000, True)
            credential_see(self.cell, self.table._now_ns() // 1_000_000_000)
        return self.cell

    cdef uint64_t _count(self, long long tokens) noexcept:
        """A call that asks for more than there ever is has to wait for all of it."""
        return <uint64_t>min(max(tokens, 0), <long long>self.tokens.burst)

    cpdef Drawn take(self, long long tokens):
        """Make a call with it that uses at most so many tokens, estimated upwards; None: not now."""
        cdef Drawn drawn = Drawn.__new__(Drawn)
        cdef credential_t* cell = self._own()
        cdef uint64_t now_ns = self.table._now_ns()
        if not credential_take(cell, &self.requests, &self.tokens, now_ns, self._count(tokens), &drawn.drawn,
                               &drawn.before, &drawn.after):
            return None
        credential_see(cell, now_ns // 1_000_000_000)
        drawn.standing = self
        drawn.tokens = self.tokens
        drawn.open = True
        return drawn

    cpdef long long wait_ms(self, long long tokens) noexcept:
        """Milliseconds until such a call may be made; 0: now, -1: nobody knows, the key is refused."""
        return credential_wait_ms(self._own(), &self.requests, &self.tokens, self.table._now_ns(), self._count(tokens))

    cpdef void rest(self, long long for_ms) noexcept:
        """The provider asks for a pause, of so many milliseconds or, with 0, of a time of our own."""
        credential_rest(self._own(), self.table._now_ns() // 1_000_000, max(for_ms, 0))

    cpdef void exhaust(self, long long for_ms) noexcept:
        """The provider has served, and says that for so long it will not again."""
        credential_exhaust(self._own(), self.table._now_ns() // 1_000_000, max(for_ms, 0))

    cpdef void refuse(self, bint unpaid) noexcept:
        """The provider does not take it; `unpaid`: its account there has no money."""
        credential_refuse(self._own(), self.table._now_ns() // 1_000_000, unpaid)

    cpdef void worked(self) noexcept:
        """The provider serves with it."""
        credential_worked(self._own(), self.table._now_ns() // 1_000_000)


@cython.freelist(16)
@cython.no_gc
cdef class Drawn:
    """What one call has taken of the limits of a key. One that is dropped has used all of it."""

    cpdef void used(self, long long tokens) noexcept:
        """The call has used so many tokens; only the first word counts."""
        cdef credential_t* cell
        cdef uint64_t now_ns
        if not self.open:
            return
        self.open = False
        if self.tokens.interval == 0:
            return
        cell = self.standing._own()
        now_ns = self.standing.table._now_ns()
        if tokens > self.drawn.tokens:
            tokens_owe(&cell.tokens, &self.tokens, now_ns, tokens - self.drawn.tokens)
        else:
            tokens_return(&cell.tokens, &self.tokens, now_ns, &self.drawn, self.drawn.tokens - max(tokens, 0))

    cpdef void free(self) noexcept:
        """The call has not been sent."""
        if self.open:
            self.open = False
            credential_free(self.standing._own(), &self.tokens, self.standing.table._now_ns(), &self.drawn,
                            self.before, self.after)

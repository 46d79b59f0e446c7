# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: embedsignature=True, embedsignature.format=clinic
"""Decides how many calls and connections a target has over all workers, and keeps what each worker has seen of it.

The table lies in a file of its own beside the segment, that all workers map; it is of that very segment, and goes with
it. What it holds is for limits and for people: nothing in it is money, and nothing is lost with it but counts.
"""
import errno
import hashlib
import os

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset
from posix.mman cimport munmap
from posix.unistd cimport close

from fastgw._core cimport Gate
from fastgw._mapping cimport make_file, map_file
from fastgw._segment cimport Segment
from fastgw.kernels.atomics cimport CLOCK_MONOTONIC, clock_ns, load_u64, store_u64
from fastgw.kernels.head cimport field_t
from fastgw.kernels.layout cimport layout_claim
from fastgw.kernels.octets cimport same_lower
from fastgw.kernels.targets cimport (
    CELL_USED, SLOT_STATES, SLOT_WANTED, TARGETS_MAX, TARGETS_PAGE, TARGETS_VERSION, targets_free, targets_header_t,
    targets_map, targets_row, targets_size, targets_t, targets_take, targets_touch, use_add, use_enter, use_forget,
    use_t,
)

from fastgw._segment import SegmentError

cdef uint64_t MAGIC = 0x6661737467777467
cdef str UNFIT = "damaged: remove it, and start again"
cdef uint64_t CONNECTION = <uint64_t>1 << 32
cdef int SMOOTHING = 8          # answers that the latency shown is about the mean of

MOST = TARGETS_MAX


def target_name(upstream: str, endpoint: str) -> int:
    """Sixty-two bits by which the table knows an endpoint of an upstream, the same in every process."""
    digest = hashlib.blake2b(f"{upstream}\0{endpoint}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") & ~SLOT_STATES or SLOT_STATES + 1


def table_path(segment: Segment) -> str:
    """Where the table lies that belongs to a segment; another file for every segment and version."""
    name = hashlib.blake2b(b"targets %d" % TARGETS_VERSION + segment.identity, digest_size=8).hexdigest()
    return f"{segment.path}.targets-{name}"


def forget_worker(segment: Segment, worker: int) -> None:
    """`Targets.forget`, for who only knows that a worker is gone; nothing where no worker ever had a target."""
    if os.path.exists(table_path(segment)):
        Targets(segment, worker).forget()


def sweep(segment: Segment) -> int:
    """Free the slots that no worker uses any more, for other targets; how many. For the supervisor alone."""
    return Targets(segment, -1).sweep() if os.path.exists(table_path(segment)) else 0


cdef class Targets:
    """The table as the worker in one slot sees it, or, with -1, who only reads. It is made when it is not there.

    Raises OSError without room, SegmentError for a file that is not to be trusted.
    """

    def __cinit__(self, *_, **__):
        memset(&self.t, 0, sizeof(targets_t))
        self.t.descriptor = -1

    def __init__(self, Segment segment, int worker):
        if worker != -1:
            segment._worker(worker)
        self.segment = segment
        self.path = table_path(segment)
        self.t.me = max(worker, 0)
        self.tallies = {}
        if not os.path.exists(self.path):
            self._create()
        self._map()

    def __dealloc__(self):
        if self.t.base is not NULL:
            munmap(self.t.base, self.t.size)
        if self.t.descriptor >= 0:
            close(self.t.descriptor)

    def _create(self) -> None:
        cdef targets_header_t header
        memset(&header, 0, sizeof(header))
        header.magic = MAGIC
        header.version = TARGETS_VERSION
        header.size = targets_size()
        make_file(self.path, (<char*>&header)[:sizeof(header)], header.size,
                  TARGETS_PAGE + TARGETS_MAX * sizeof(uint64_t), False)

    cdef _map(self):
        cdef uint64_t size
        cdef char* base = map_file(self.path, UNFIT, targets_size(), &size, &self.t.descriptor)
        cdef targets_header_t* h = <targets_header_t*>base
        targets_map(&self.t, base)
        if h.magic != MAGIC or h.version != TARGETS_VERSION or h.size != size or size != self.t.size:
            raise SegmentError(f"{self.path} is {UNFIT}")

    def tally(self, upstream: str, endpoint: str) -> Tally:
        """What this worker does with an endpoint from now on, until it is released as often as it was asked for.

        Raises SegmentError when there are too many, OSError without memory for another.
        """
        cdef Tally tally
        cdef uint64_t name = target_name(upstream, endpoint)
        cdef int slot
        tally = self.tallies.get(name)
        if tally is None:
            slot = targets_take(&self.t, name)
            if slot == -1:
                raise SegmentError(f"more than {TARGETS_MAX} targets: no calls are sent to {endpoint} of {upstream}")
            if slot < 0:
                raise OSError(errno.ENOSPC, f"no room for {self.path}")
            tally = Tally.__new__(Tally)
            tally.table = self
            tally.name = name
            tally.slot = slot
            tally.users = 0
            tally.row = targets_row(&self.t, slot)
            tally.cell = tally.row + self.t.me
            layout_claim(&self.segment.s, self.t.me)    # from now on its cells are looked at
            self.tallies[name] = tally
        tally.users += 1
        return tally

    def forget(self) -> None:
        """The worker of this slot is gone, or has just begun: nothing of it is in flight, open or ejected."""
        cdef uint64_t slot
        for slot in range(TARGETS_MAX):
            if load_u64(&self.t.slots[slot]) and self._may_touch(slot):
                use_forget(targets_row(&self.t, slot) + self.t.me)

    def sweep(self) -> int:
        """Free what no worker uses any more, for others; how many. For the supervisor alone."""
        cdef uint64_t slot
        cdef int freed = 0
        for slot in range(TARGETS_MAX):
            freed += targets_free(&self.t, slot)
        return freed

    def rows(self) -> dict[int, dict[str, int]]:
        """By `target_name`, what all workers do with each target, and have done since the segment was made.

        `in_flight`, `open` and `waiting` are gauges, the same call waiting for more than one; `ejected` is how many
        workers pass it over and `ejected_ms` for how long at most; `latency_us` is the mean over the workers that know.
        """
        cdef uint64_t slot, word, name, w, load
        cdef uint64_t workers = load_u64(&self.segment.s.header.workers)
        cdef int64_t now_ms = clock_ns(CLOCK_MONOTONIC) // 1_000_000
        cdef use_t* cell
        found = {}
        for slot in range(TARGETS_MAX):
            word = load_u64(&self.t.slots[slot])
            if word == 0 or word & SLOT_STATES == SLOT_WANTED or not self._may_touch(slot):
                continue
            name = word & ~(<uint64_t>SLOT_STATES)
            row = dict.fromkeys(
                ("in_flight", "open", "waiting", "calls", "failures", "retries", "ejections", "ejected", "ejected_ms",
                 "latency_us"), 0)
            known = 0
            for w in range(workers):
                cell = targets_row(&self.t, slot) + w
                if load_u64(&cell.name) & ~(<uint64_t>CELL_USED) != name:
                    continue
                load = load_u64(&cell.load)
                row["in_flight"] += load & 0xffffffff
                row["open"] += load >> 32
                row["waiting"] += cell.waiting
                row["calls"] += cell.calls
                row["failures"] += cell.failures
                row["retries"] += cell.retries
                row["ejections"] += cell.ejections
                row["latency_us"] += cell.latency_us
                known += cell.latency_us > 0
                if <int64_t>load_u64(&cell.ejected_ms) > now_ms:
                    row["ejected"] += 1
                    row["ejected_ms"] = max(row["ejected_ms"], cell.ejected_ms - now_ms)
            row["latency_us"] //= known or 1
            found[name] = row
        return found

    def _may_touch(self, slot: int) -> bool:
        return targets_touch(&self.t, slot)


cdef class Tally:
    """What this worker does with one target, beside what others do.

    `most` is a limit over all workers, 0 for none. What is counted in is to be counted out, once.
    """

    cpdef bint enter(self, unsigned int most) noexcept:
        """Count a call in, if there is room for it."""
        if most == 0:
            use_add(self.cell, 1)
        elif not use_enter(self.cell, self.row, self._workers(), 1, most):
            return False
        self.cell.calls += 1
        return True

    cpdef void leave(self) noexcept:
        """A call has ended."""
        use_add(self.cell, -<uint64_t>1)

    cpdef void back_out(self) noexcept:
        """A call just counted in is not sent after all."""
        use_add(self.cell, -<uint64_t>1)
        self.cell.calls -= 1

    cpdef bint connect(self, unsigned int most) noexcept:
        """Count a connection that is about to be made, if there is room for it."""
        if most == 0:
            use_add(self.cell, CONNECTION)
            return True
        return use_enter(self.cell, self.row, self._workers(), CONNECTION, most)

    cpdef void disconnect(self) noexcept:
        """A connection has ended, or could not be made."""
        use_add(self.cell, -CONNECTION)

    cdef uint64_t _workers(self) noexcept:
        return load_u64(&self.table.segment.s.header.workers)

    cpdef void heard(self, long long us) noexcept:
        """An answer has begun so long after its call was sent."""
        cdef long long mean = self.cell.latency_us
        us = min(us, 0xffffffff)
        self.cell.latency_us = <uint32_t>(mean + (us - mean) // SMOOTHING if mean else us)

    cpdef void failed(self) noexcept:
        self.cell.failures += 1

    cpdef void retried(self) noexcept:
        """A call comes here that has been tried before."""
        self.cell.retries += 1

    cpdef void eject(self, long long for_ms) noexcept:
        """No calls are sent to it for that time; for 0 ms, they are sent again."""
        if for_ms == 0:
            store_u64(&self.cell.ejected_ms, 0)
            return
        self.cell.ejections += 1
        store_u64(&self.cell.ejected_ms, clock_ns(CLOCK_MONOTONIC) // 1_000_000 + for_ms)

    cpdef void await_room(self, unsigned int calls) noexcept:
        """So many calls of this worker wait for room at it."""
        self.cell.waiting = calls

    cpdef bint is_wanted(self) noexcept:
        """Whether calls of other workers wait for room at it."""
        cdef uint64_t w
        for w in range(self._workers()):
            if self.row[w].waiting and w != self.table.t.me and load_u64(&self.row[w].name) == self.cell.name:
                return True
        return False

    @property
    def calls(self) -> int:
        return self.cell.calls

    @property
    def in_flight(self) -> int:
        """Calls of this worker."""
        return self.cell.load & 0xffffffff

    cpdef release(self):
        """Who has asked for it needs it no more; see `Targets.tally`."""
        self.users -= 1
        if self.users == 0:
            use_forget(self.cell)
            del self.table.tallies[self.name]


# Affinity

cdef inline uint64_t _mixed(uint64_t word) noexcept nogil:
    """Spread what differs anywhere over all bits (the finalizer of SplitMix64)."""
    word = (word ^ (word >> 30)) * <uint64_t>0xbf58476d1ce4e5b9
    word = (word ^ (word >> 27)) * <uint64_t>0x94d049bb133111eb
    return word ^ (word >> 31)


cdef inline uint64_t _hashed(const uint8_t* data, size_t length) noexcept nogil:
    cdef uint64_t word = <uint64_t>0xcbf29ce484222325           # FNV-1a
    cdef size_t i
    for i in range(length):
        word = (word ^ data[i]) * <uint64_t>0x100000001b3
    return _mixed(word)


cpdef unsigned long long affinity(Gate gate, bytes header) noexcept:
    """A number that is the same for all requests that belong together, in every worker and after a restart.

    They are those with the same value in the field `header` (in lower case); or, with b"", of the same key; or, without
    that, of the same client address. Of the request that `gate` has just admitted.
    """
    cdef uint32_t f
    cdef field_t* field
    cdef const char* at = gate.head.at
    if header:
        for f in range(gate.head.h.fields):
            field = &gate.head.h.field[f]
            if field.name_length == len(header) and same_lower(at + field.name, <const char*>header, len(header)):
                return _hashed(<const uint8_t*>at + field.value, field.end - field.value)
    elif gate.now.key:
        return _mixed(gate.s.keys[gate.now.key - 1].digest[0])
    return _hashed(gate.now.address, 16)

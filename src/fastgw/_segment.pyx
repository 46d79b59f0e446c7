# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: embedsignature=True, embedsignature.format=clinic
"""The segment as the supervisor and the keeper see it: created, opened, filled, recovered and read.

Workers decide on the same memory through `fastgw._core`; nothing here is on the path of a request.
"""
import contextlib
import errno
import hashlib
import os
import secrets
import stat
import time

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset
from posix.mman cimport MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap

from fastgw.kernels.account cimport (
    account_capture, account_captured, account_excess, account_hold, account_t, cell_orphans_release, cell_t,
)
from fastgw.kernels.atomics cimport (
    CLOCK_MONOTONIC, add_i64, clock_ns, fence_acquire, load_i64, load_u64, store_i64, store_u64,
)
from fastgw.kernels.blake2b cimport blake2b_digest, blake2b_start
from fastgw.kernels.bucket cimport limit_t
from fastgw.kernels.keys cimport keys_add, keys_find
from fastgw.kernels.layout cimport (
    CODES_MAX, KEY_REVOKED, LATENCY_BUCKETS, LAYOUT_VERSION, LIMITS_MAX, STAGES, WORKERS_MAX, header_t, journal_t,
    key_t, layout_cell, layout_claim, layout_counters, layout_histogram, layout_journal, layout_map, record_t,
    segment_t, worker_t,
)

from fastgw.limits import limit_units

cdef uint64_t MAGIC = 0x6661737467770001
cdef int LOOKS = 20
cdef double LOOK_S = 0.001

RECORD_BYTES = sizeof(record_t)
WORKERS = WORKERS_MAX


class SegmentError(Exception):
    """The segment cannot be used as it is; the message says what to do."""


def boot_number() -> int:
    """Sixty-four bits that differ from one boot of the machine to the next."""
    with open("/proc/sys/kernel/random/boot_id", "rb") as file:
        return int.from_bytes(hashlib.blake2b(file.read(), digest_size=8).digest(), "little")


cdef class Segment:
    """The mapped file. `Segment.create` makes one, `Segment.open` maps what is there."""

    def __cinit__(self):
        memset(&self.s, 0, sizeof(segment_t))

    def __init__(self, path: str):
        self.path = path
        self.limit_numbers = {}

    def __dealloc__(self):
        if self.s.base is not NULL:
            munmap(self.s.base, self.s.size)

    @staticmethod
    def create(path: str, *, keys_max: int, accounts_max: int, routes_max: int, journal_records: int) -> Segment:
        """A new segment of the given capacities, mode 0600, that appears at `path` complete or not at all.

        Raises ValueError for a capacity below 1, or a journal that is no power of two; OSError without room for it.
        """
        cdef Segment self = Segment(path)
        cdef header_t* h
        if min(keys_max, accounts_max, routes_max, journal_records) < 1 or journal_records & (journal_records - 1):
            raise ValueError("capacities must be positive, and journal_records a power of two")
        unfinished = f"{path}.{os.getpid()}"
        with contextlib.suppress(FileNotFoundError):    # of a process of this number that was killed right here
            os.unlink(unfinished)
        layout_map(&self.s, NULL, keys_max, accounts_max, routes_max, journal_records)
        descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, self.s.size)
            os.posix_fallocate(descriptor, 0, 4096)     # or writing the header would be a fault where memory is short
            self._map(descriptor, self.s.size)
            layout_map(&self.s, self.s.base, keys_max, accounts_max, routes_max, journal_records)
            h = self.s.header
            h.version = LAYOUT_VERSION
            h.keys_max = keys_max
            h.accounts_max = accounts_max
            h.routes_max = routes_max
            h.journal_records = journal_records
            h.size = self.s.size
            h.boot = boot_number()
            h.epoch_ns = clock_ns(CLOCK_MONOTONIC)
            random = secrets.token_bytes(32)
            memcpy(h.secret, <const char*>random, 32)
            store_u64(&h.magic, MAGIC)
            os.rename(unfinished, path)
        except BaseException:
            os.unlink(unfinished)
            raise
        finally:
            os.close(descriptor)
        return self

    @staticmethod
    def open(path: str) -> Segment:
        """Map the segment at `path`. Raises FileNotFoundError, or SegmentError when this version cannot read it."""
        cdef Segment self = Segment(path)
        cdef header_t* h
        cdef segment_t layout
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            status = os.fstat(descriptor)
            size = status.st_size
            if not stat.S_ISREG(status.st_mode) or size < 4096:
                raise SegmentError(f"{path} is not a segment of fastgw")
            if status.st_uid != os.geteuid() or status.st_mode & 0o077:
                raise SegmentError(f"{path} is open to other users: remove it, it may be theirs")
            self._map(descriptor, size)
        finally:
            os.close(descriptor)
        h = <header_t*>self.s.base
        if load_u64(&h.magic) != MAGIC:
            raise SegmentError(f"{path} is not a segment of fastgw")
        if h.version != LAYOUT_VERSION or h.size != <uint64_t>size:
            raise SegmentError(f"{path} was made by another version of fastgw")
        layout_map(&layout, self.s.base, h.keys_max, h.accounts_max, h.routes_max, h.journal_records)
        if layout.size != <uint64_t>size:
            raise SegmentError(f"{path} is damaged: remove it, which forgets what has been spent")
        self.s = layout
        return self

    cdef _map(self, int descriptor, uint64_t size):
        cdef void* base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
        if base == MAP_FAILED:
            raise OSError(errno.ENOMEM, f"cannot map {size} bytes of {self.path}")
        self.s.base = <char*>base
        self.s.size = size

    # Capacity and room

    @property
    def capacity(self) -> dict[str, int]:
        cdef header_t* h = self.s.header
        return {"keys_max": h.keys_max, "accounts_max": h.accounts_max, "routes_max": h.routes_max,
                "journal_records": h.journal_records}

    @property
    def same_boot(self) -> bool:
        """Whether it was made since the machine started, so that its clock means something."""
        return self.s.header.boot == boot_number()

    @property
    def size(self) -> int:
        """Bytes mapped; what is in use is less (see `used_bytes`)."""
        return self.s.size

    @property
    def used_bytes(self) -> int:
        return os.stat(self.path).st_blocks * 512

    @property
    def key_count(self) -> int:
        return load_u64(&self.s.header.keys)

    @property
    def account_count(self) -> int:
        return load_u64(&self.s.header.accounts)

    @property
    def worker_slots(self) -> int:
        """How many worker slots have ever been used."""
        return load_u64(&self.s.header.workers)

    def reserve(self, *, keys: int, accounts: int, workers: int, routes: int) -> None:
        """Claim the memory that this many keys, accounts, workers and rate-limited routes can touch, so that a lack of
        it is an error now and not a fault in the middle of a request. Raises OSError (ENOSPC)."""
        cdef int w
        areas = [
            (<uint64_t>self.s.base, <char*>self.s.limits - self.s.base + min(keys, LIMITS_MAX) * sizeof(limit_t)),
            (<uint64_t>self.s.index, (self.s.index_mask + 1) * 8),      # any key, known or not, is looked up in it
            (<uint64_t>self.s.keys, keys * sizeof(key_t)),
            (<uint64_t>self.s.accounts, accounts * sizeof(account_t)),
            (<uint64_t>self.s.counters, workers * (self.s.header.routes_max + 1) * CODES_MAX * 8),
            (<uint64_t>self.s.histograms, workers * STAGES * LATENCY_BUCKETS * 8),
            (<uint64_t>self.s.journals, workers * self.s.journal_stride),
        ]
        for w in range(workers):
            areas.append((<uint64_t>layout_cell(&self.s, w, 0), accounts * sizeof(cell_t)))
        for route in range(routes):
            areas.append((<uint64_t>(self.s.buckets + <uint64_t>route * self.s.header.keys_max), keys * 8))
        descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            for address, length in areas:
                if length:
                    os.posix_fallocate(descriptor, address - <uint64_t>self.s.base, length)
        finally:
            os.close(descriptor)

    # Keys, accounts, limits, routes: one writer, the keeper

    def digest(self, key: bytes) -> bytes:
        """The keyed digest (32 bytes) by which the segment knows `key`."""
        cdef uint64_t start[8]
        cdef uint64_t digest[4]
        if not key:
            raise ValueError("a key has at least one byte")
        blake2b_start(start, self.s.header.secret)
        blake2b_digest(start, <const char*>key, len(key), digest)
        return (<char*>digest)[:32]

    def limit(self, count: int, period_ns: int, burst: int) -> int:
        """The number (≥ 1) of a key's limit, the same for equal limits. Raises ValueError, see `limit_units`."""
        cdef uint64_t number = self.s.header.limits
        cdef limit_t* limit
        if not self.limit_numbers:
            for i in range(number):
                limit = &self.s.limits[<uint64_t>i]
                self.limit_numbers[limit.interval, limit.scale, limit.burst] = i + 1
        interval, tolerance, scale, window_s = limit_units(count, period_ns, burst)
        if burst > 0xffffffff:
            raise ValueError("a burst has at most 32 bits")
        known = self.limit_numbers.get((interval, scale, burst))
        if known:
            return known
        if number >= LIMITS_MAX:
            raise SegmentError(f"more than {LIMITS_MAX} different limits of keys")
        limit = &self.s.limits[number]
        limit.interval = interval
        limit.tolerance = tolerance
        limit.scale = scale
        limit.burst = burst
        limit.window_s = window_s
        store_u64(&self.s.header.limits, number + 1)
        self.limit_numbers[interval, scale, burst] = number + 1
        return number + 1

    def route_slot(self, name: str) -> int:
        """The slot of the route of that name, its own for as long as the segment lives."""
        cdef uint64_t routes = self.s.header.routes
        cdef uint64_t i
        raw = name.encode()
        if len(raw) > 63:
            raise ValueError(f"route name {name!r} is longer than 63 bytes")
        for i in range(routes):
            if self.s.routes[i].name == raw:
                return i
        if routes >= self.s.header.routes_max:
            raise SegmentError(f"more than {self.s.header.routes_max} different routes since the segment was made: "
                               "raise routes_max")
        memcpy(self.s.routes[routes].name, <const char*>raw, len(raw) + 1)
        store_u64(&self.s.header.routes, routes + 1)
        return routes

    def routes(self) -> list[str]:
        """The names of the routes by slot."""
        return [self.s.routes[i].name.decode() for i in range(<int>load_u64(&self.s.header.routes))]

    def account_numbers(self) -> dict[bytes, int]:
        """Account index by the 16-byte digest of its name (`account_digest`)."""
        cdef uint64_t i
        return {(<char*>self.s.accounts[i].name)[:16]: i for i in range(self.s.header.accounts)}

    def add_account(self, digest: bytes, granted: int, credit: int) -> int:
        """Append an account (nanos); its index. Raises SegmentError when the table is full."""
        cdef uint64_t number = self.s.header.accounts
        cdef account_t* account
        if len(digest) != 16:
            raise ValueError("the digest of an account's name has 16 bytes")
        if number >= self.s.header.accounts_max:
            raise SegmentError(f"more than {self.s.header.accounts_max} accounts: raise accounts_max")
        account = &self.s.accounts[number]
        memcpy(account.name, <const char*>digest, 16)
        store_i64(&account.granted, granted)
        store_i64(&account.credit, credit)
        store_u64(&self.s.header.accounts, number + 1)
        return number

    def set_account(self, index: int, granted: int, credit: int) -> None:
        self._account(index)
        store_i64(&self.s.accounts[<uint64_t>index].granted, granted)
        store_i64(&self.s.accounts[<uint64_t>index].credit, credit)

    def account(self, index: int) -> dict[str, int]:
        """Nanos: granted, credit, committed (what admission sees), captured and held (its parts)."""
        cdef account_t* a
        cdef int64_t captured, committed
        self._account(index)
        a = &self.s.accounts[<uint64_t>index]
        captured = account_captured(layout_cell(&self.s, 0, index), self.s.header.accounts_max,
                                    <int>self.s.header.workers)
        committed = load_i64(&a.committed)
        return {"granted": load_i64(&a.granted), "credit": load_i64(&a.credit), "committed": committed,
                "captured": captured, "held": committed - captured}

    def find_key(self, digest: bytes) -> int:
        """The key's index, or -1."""
        if len(digest) != 32:
            raise ValueError("a digest has 32 bytes")
        return keys_find(&self.s, <const uint64_t*><const char*>digest)

    def add_key(self, digest: bytes, account: int, limit: int, status: int, expires_s: int) -> int:
        """Append a key that `find_key` does not know; its index. Raises SegmentError when the table is full."""
        if len(digest) != 32:
            raise ValueError("a digest has 32 bytes")
        self._account(account)
        self._limit(limit)
        number = keys_add(&self.s, <const uint64_t*><const char*>digest, account, limit, status, expires_s)
        if number < 0:
            raise SegmentError(f"more than {self.s.header.keys_max} keys: raise keys_max")
        return number

    def set_key(self, index: int, account: int, limit: int, status: int, expires_s: int) -> None:
        """Change a key; every worker sees it at its next request."""
        cdef key_t* key
        self._key(index)
        self._account(account)
        self._limit(limit)
        key = &self.s.keys[<uint64_t>index]
        store_i64(&key.expires_s, expires_s)
        # Account and limit are the two halves of one word, so that no worker sees one without the other.
        store_u64(<uint64_t*>&key.account, <uint64_t><uint32_t>limit << 32 | <uint32_t>account)
        store_u64(&key.status, status)

    def revoke_key(self, index: int) -> None:
        """Refuse the key from now on, in every worker."""
        self._key(index)
        store_u64(&self.s.keys[<uint64_t>index].status, KEY_REVOKED)

    cdef int _account(self, object index) except -1:
        if not 0 <= index < self.s.header.accounts:
            raise IndexError(f"no account {index}")
        return 0

    cdef int _key(self, object index) except -1:
        if not 0 <= index < self.s.header.keys:
            raise IndexError(f"no key {index}")
        return 0

    cdef int _limit(self, object number) except -1:
        if not 0 <= number <= self.s.header.limits:
            raise IndexError(f"no limit {number}")
        return 0

    cdef int _worker(self, object index) except -1:
        if not 0 <= index < WORKERS_MAX:
            raise IndexError(f"no worker {index}")
        return 0

    # Workers

    def worker_set(self, index: int, pid: int, state: int) -> None:
        """Say who runs in slot `index` and how far it is (0 absent, 1 starting, 2 ready, 3 draining)."""
        cdef worker_t* w
        self._worker(index)
        w = &self.s.workers[<int>index]
        if state < 2:
            w.clients = w.upstreams = w.exchanges = 0
        store_u64(&w.pid, pid)
        store_u64(&w.state, state)
        layout_claim(&self.s, index)

    def worker(self, index: int) -> dict[str, int]:
        """pid, state, open connections on both sides, calls in flight, connections accepted, heartbeat (s ago)."""
        cdef worker_t* w
        self._worker(index)
        w = &self.s.workers[<int>index]
        return {"pid": w.pid, "state": load_u64(&w.state), "clients": w.clients, "upstreams": w.upstreams,
                "exchanges": w.exchanges, "accepted": w.accepted,
                "heartbeat_ms": (clock_ns(CLOCK_MONOTONIC) - <int64_t>w.heartbeat_ns) // 1_000_000}

    def recover(self, index: int) -> tuple[int, int]:
        """Void what the dead worker in slot `index` held, and take out of every account what nobody holds.

        Returns (nanos voided, nanos taken out of `committed`). For one process at a time, when the worker is known to
        be dead and before another takes its slot; others go on meanwhile. Doing it again changes nothing.
        """
        cdef uint64_t a
        cdef int64_t orphaned, excess
        cdef int64_t voided = 0
        cdef int64_t surplus = 0
        self._worker(index)
        again = []
        for a in range(self.s.header.accounts):
            orphaned = cell_orphans_release(layout_cell(&self.s, index, a))
            voided += orphaned
            excess = self._excess_take(a)
            if excess > 0:
                surplus += excess
            if orphaned or excess:
                again.append(a)
        # A hold that another worker is just making hides as much of the excess: look until it must have been made.
        for _ in range(LOOKS if again else 0):
            time.sleep(LOOK_S)
            for a in again:
                excess = self._excess_take(a)
                if excess > 0:
                    surplus += excess
        return voided, surplus

    cdef int64_t _excess_take(self, uint64_t a):
        """Take out of `committed` what no cell accounts for: the nanos, or -1 if other workers never stood still."""
        cdef account_t* account = &self.s.accounts[a]
        cdef const cell_t* cells = layout_cell(&self.s, 0, a)
        cdef int64_t excess = -1
        cdef int tries = 0
        while excess < 0 and tries < 1000:
            excess = account_excess(account, cells, self.s.header.accounts_max, <int>load_u64(&self.s.header.workers))
            tries += 1
        if excess > 0:
            add_i64(&account.committed, -excess)
        return excess

    # What the workers have counted

    def counters(self, index: int, route: int) -> list[int]:
        """Calls of one worker by code, for route slot `route`, or -1 for requests that met no route."""
        cdef uint64_t* counters
        cdef int code
        self._worker(index)
        if not -1 <= route < <int64_t>self.s.header.routes_max:
            raise IndexError(f"no route {route}")
        counters = layout_counters(&self.s, index, route + 1)
        return [load_u64(&counters[code]) for code in range(CODES_MAX)]

    def histogram(self, index: int, stage: int) -> list[int]:
        """Calls of one worker by latency: bucket 4·o + q ends at 2^o · (5 + q) / 4 µs.

        Stages: decide, first byte, total.
        """
        cdef uint64_t* buckets
        cdef int i
        self._worker(index)
        if not 0 <= stage < STAGES:
            raise IndexError(f"no stage {stage}")
        buckets = layout_histogram(&self.s, index, stage)
        return [load_u64(&buckets[i]) for i in range(LATENCY_BUCKETS)]

    def journal(self, index: int, first: int) -> tuple[bytes, int, int]:
        """Finished calls of one worker from number `first` on: (records, the next number, how many were overwritten).

        `records` holds RECORD_BYTES each, in order, and never a half-written one.
        """
        cdef journal_t* j
        cdef record_t* ring
        cdef uint64_t size = self.s.header.journal_records
        cdef uint64_t written, n, start
        cdef record_t copy
        self._worker(index)
        j = layout_journal(&self.s, index)
        ring = <record_t*>(<char*>j + sizeof(journal_t))
        written = load_u64(&j.written)
        start = first
        if written > size and start < written - size:
            start = written - size
        records = bytearray()
        lost = start - first
        for n in range(start, written):
            memcpy(&copy, &ring[n % size], sizeof(record_t))
            fence_acquire()
            if copy.number == n + 1 and load_u64(&ring[n % size].number) == n + 1:
                records += (<char*>&copy)[:sizeof(record_t)]
            else:
                lost += 1
        return bytes(records), written, lost

    # For tests and tools: the kernels by hand, as one worker

    def hold(self, worker: int, account: int, cost: int) -> bool:
        """Reserve `cost` nanos as `worker` would."""
        self._worker(worker)
        self._account(account)
        if cost < 1:
            raise ValueError("a hold is of at least 1 nano")
        layout_claim(&self.s, worker)
        return account_hold(&self.s.accounts[<uint64_t>account], layout_cell(&self.s, worker, account), cost)

    def capture(self, worker: int, account: int, held: int, cost: int) -> None:
        """Charge `cost` of a hold of `held` nanos and give back the rest."""
        self._worker(worker)
        self._account(account)
        if not 0 <= cost <= held:
            raise ValueError("a capture is between 0 and its hold")
        account_capture(&self.s.accounts[<uint64_t>account], layout_cell(&self.s, worker, account), held, cost)


def account_digest(name: str) -> bytes:
    """Sixteen bytes by which the segment knows an account."""
    return hashlib.blake2b(name.encode(), digest_size=16).digest()

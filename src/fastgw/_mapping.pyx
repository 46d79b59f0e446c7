# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: embedsignature=True, embedsignature.format=clinic
"""Decides how a file that processes share is made and mapped, and whether one is a segment that may be used.

What lies in a segment is read and written by the classes that build on this one: `_drain`, then `_segment`. Tables that
lie beside it are made and mapped by the same two functions.
"""
import contextlib
import errno
import hashlib
import hmac
import os
import secrets
import stat

from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memset
from posix.mman cimport MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap
from posix.unistd cimport close

from fastgw.kernels.account cimport account_t, cell_t
from fastgw.kernels.atomics cimport CLOCK_MONOTONIC, clock_ns, load_u64
from fastgw.kernels.bucket cimport limit_t
from fastgw.kernels.layout cimport (
    CODES_MAX, DIRTY_ACCOUNTS, KEEPER, LATENCY_BUCKETS, LAYOUT_VERSION, LIMITS_MAX, OPENS_MAX, STAGES, WORKERS_MAX,
    account_tokens_t, header_t, key_t, key_tokens_t, layout_cell, layout_dirty, layout_map, open_t, segment_t,
)

cdef uint64_t MAGIC = 0x6661737467770001

cdef enum:
    HEADER_BYTES = 4096

SECRET_BYTES = 32


class SegmentError(Exception):
    """The segment cannot be used as it is; the message says what to do."""


def boot_number() -> int:
    """Sixty-four bits that differ from one boot of the machine to the next."""
    with open("/proc/sys/kernel/random/boot_id", "rb") as file:
        return int.from_bytes(hashlib.blake2b(file.read(), digest_size=8).digest(), "little")


cdef int make_file(str path, bytes header, uint64_t size, uint64_t claimed, bint replace) except -1:
    """Make a file of `size` bytes that begins with `header` and else is empty, for this user alone. It appears complete
    or not at all; without `replace`, not if another process was faster.

    The first bytes are `claimed`, or writing them would be a fault where memory is short. Raises OSError without room.
    """
    unfinished = f"{path}.{os.getpid()}"
    with contextlib.suppress(FileNotFoundError):    # of a process of this number that was killed right here
        os.unlink(unfinished)
    descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(descriptor, size)
        os.posix_fallocate(descriptor, 0, claimed)
        os.pwrite(descriptor, header, 0)
        if replace:
            os.rename(unfinished, path)
        else:
            with contextlib.suppress(FileExistsError):
                os.link(unfinished, path)
    finally:
        os.close(descriptor)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(unfinished)
    return 0


cdef char* map_file(str path, str unfit, uint64_t least, uint64_t* size, int* descriptor) except NULL:
    """Map a file for reading and writing; its size, and its descriptor, which is the caller's to close in any case.

    Raises FileNotFoundError; SegmentError for a file that others may have written, or, with the words `unfit`, that is
    none or has not the `least` size; OSError without room for it in memory.
    """
    cdef void* base
    descriptor[0] = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    status = os.fstat(descriptor[0])
    size[0] = status.st_size
    if not stat.S_ISREG(status.st_mode) or size[0] < least:
        raise SegmentError(f"{path} is {unfit}")
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise SegmentError(f"{path} is open to other users: remove it, it may be theirs")
    base = mmap(NULL, size[0], PROT_READ | PROT_WRITE, MAP_SHARED, descriptor[0], 0)
    if base == MAP_FAILED:
        raise OSError(errno.ENOMEM, f"cannot map {size[0]} bytes of {path}")
    return <char*>base


cdef class Mapping:
    """The mapped file. `create` makes one, `open` maps what is there."""

    def __cinit__(self, *_):
        memset(&self.s, 0, sizeof(segment_t))

    def __init__(self, path: str):
        self.path = path

    def __dealloc__(self):
        if self.s.base is not NULL:
            munmap(self.s.base, self.s.size)

    @classmethod
    def create(cls, path: str, *, secret: bytes, keys_max: int, accounts_max: int, routes_max: int,
               journal_records: int):
        """A new segment of the given capacities, mode 0600, that appears at `path` complete or not at all.

        `secret` (32 bytes) is of the keys' digests. Raises ValueError for a capacity below 1, a journal that is no
        power of two, or a secret of another size; OSError without room for it.
        """
        cdef segment_t layout
        cdef header_t h
        if min(keys_max, accounts_max, routes_max, journal_records) < 1 or journal_records & (journal_records - 1):
            raise ValueError("capacities must be positive, and journal_records a power of two")
        if len(secret) != SECRET_BYTES:
            raise ValueError(f"the secret of the keys' digests has {SECRET_BYTES} bytes")
        layout_map(&layout, NULL, keys_max, accounts_max, routes_max, journal_records)
        memset(&h, 0, sizeof(h))
        h.magic = MAGIC
        h.version = LAYOUT_VERSION
        h.keys_max = keys_max
        h.accounts_max = accounts_max
        h.routes_max = routes_max
        h.journal_records = journal_records
        h.size = layout.size
        h.boot = boot_number()
        h.epoch_ns = clock_ns(CLOCK_MONOTONIC)
        memcpy(h.secret, <const char*>secret, SECRET_BYTES)
        random = secrets.token_bytes(16)
        memcpy(h.identity, <const char*>random, 16)
        make_file(path, (<char*>&h)[:sizeof(h)], layout.size, HEADER_BYTES, True)
        return cls.open(path)

    @classmethod
    def open(cls, path: str):
        """Map the segment at `path`. Raises FileNotFoundError, or SegmentError when this version cannot read it."""
        cdef Mapping self = cls(path)
        cdef header_t* h
        cdef segment_t layout
        cdef uint64_t size
        cdef int descriptor = -1
        try:
            self.s.base = map_file(path, "not a segment of fastgw", HEADER_BYTES, &size, &descriptor)
        finally:
            if descriptor >= 0:
                close(descriptor)
        self.s.size = size
        h = <header_t*>self.s.base
        if load_u64(&h.magic) != MAGIC:
            raise SegmentError(f"{path} is not a segment of fastgw")
        if h.version != LAYOUT_VERSION or h.size != size:
            raise SegmentError(f"{path} was made by another version of fastgw")
        layout_map(&layout, self.s.base, h.keys_max, h.accounts_max, h.routes_max, h.journal_records)
        if layout.size != size:
            raise SegmentError(f"{path} is damaged: remove it, which forgets what has been spent")
        self.s = layout
        return self

    @property
    def capacity(self) -> dict[str, int]:
        cdef header_t* h = self.s.header
        return {"keys_max": h.keys_max, "accounts_max": h.accounts_max, "routes_max": h.routes_max,
                "journal_records": h.journal_records}

    @property
    def identity(self) -> bytes:
        """Sixteen random bytes of this very file: the sums in it are of no other."""
        return (<char*>self.s.header.identity)[:16]

    def keeps_secret(self, secret: bytes) -> bool:
        """Whether its keys' digests are made with `secret`; in a time that does not depend on where it differs."""
        return hmac.compare_digest((<char*>self.s.header.secret)[:SECRET_BYTES], secret)

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
        """Accounts and meters."""
        return load_u64(&self.s.header.accounts)

    @property
    def worker_slots(self) -> int:
        """How many worker slots have ever been used."""
        return load_u64(&self.s.header.workers)

    def reserve(self, *, keys: int, accounts: int, workers: int, routes: int) -> None:
        """Claim the memory that this many keys, accounts (meters are some), workers and rate-limited routes can touch,
        so that a lack of it is an error now and not a fault in the middle of a request. Raises OSError (ENOSPC)."""
        cdef int w
        areas = [
            (<uint64_t>self.s.base, <char*>self.s.limits - self.s.base + min(keys, LIMITS_MAX) * sizeof(limit_t)),
            (<uint64_t>self.s.index, (self.s.index_mask + 1) * 8),      # any key, known or not, is looked up in it
            (<uint64_t>self.s.keys, keys * sizeof(key_t)),
            (<uint64_t>self.s.key_tokens, keys * sizeof(key_tokens_t)),
            (<uint64_t>self.s.accounts, accounts * sizeof(account_t)),
            (<uint64_t>self.s.account_tats, accounts * 8),
            (<uint64_t>self.s.account_tokens, accounts * sizeof(account_tokens_t)),
            (<uint64_t>layout_cell(&self.s, KEEPER, 0), accounts * sizeof(cell_t)),
            (<uint64_t>self.s.counters, workers * (self.s.header.routes_max + 1) * CODES_MAX * 8),
            (<uint64_t>self.s.histograms, workers * STAGES * LATENCY_BUCKETS * 8),
            (<uint64_t>self.s.journals, workers * self.s.journal_stride),
            (<uint64_t>self.s.opens, workers * OPENS_MAX * sizeof(open_t)),
        ]
        for w in range(workers):
            areas.append((<uint64_t>layout_cell(&self.s, w, 0), accounts * sizeof(cell_t)))
            areas.append((<uint64_t>layout_dirty(&self.s, w, 0), -(-accounts // DIRTY_ACCOUNTS)))
        for route in range(routes):
            areas.append((<uint64_t>(self.s.buckets + <uint64_t>route * self.s.header.keys_max), keys * 8))
        self._claim(areas)

    cdef _claim(self, list areas):
        """Have the memory of the areas (address, length). Raises OSError."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            for address, length in areas:
                if length:
                    os.posix_fallocate(descriptor, address - <uint64_t>self.s.base, length)
        finally:
            os.close(descriptor)

    # Numbers that come from outside

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

# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: embedsignature=True, embedsignature.format=clinic
"""Decides what the keeper reads of the workers' work: what they have charged, recorded and counted. It changes nothing
that they read, and they wait for none of it.
"""
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free

from fastgw._mapping cimport Mapping
from fastgw.kernels.account cimport account_captured
from fastgw.kernels.atomics cimport load_i64, load_u64, swap_u8
from fastgw.kernels.journal cimport journal_copy
from fastgw.kernels.layout cimport (
    CODES_MAX, DIRTY_ACCOUNTS, LATENCY_BUCKETS, STAGES, layout_cell, layout_counters, layout_histogram, layout_journal,
    layout_model, model_count_t, record_t, worker_t,
)
from fastgw.kernels.served cimport served_forgone

RECORD_BYTES = sizeof(record_t)


cdef class Drain(Mapping):
    """A segment, as far as it is only read."""

    def __dealloc__(self):
        free(self.seen)

    def captures(self, everything: bool = False) -> list[tuple[int, int]]:
        """(index, captured) of the accounts and meters from which workers have captured since the last call.

        `captured` is the sum of all that they ever have (nanos; calls, of a quota). With `everything`, of all that is
        not 0; a keeper that has just started begins with that, because it cannot know what the last one had read. For
        one process at a time.
        """
        cdef uint64_t accounts = load_u64(&self.s.header.accounts)
        cdef uint64_t stride = self.s.header.accounts_max
        cdef int workers = <int>load_u64(&self.s.header.workers)
        cdef uint64_t group, a
        cdef int64_t captured
        if self.seen is NULL:
            self.seen = <int64_t*>calloc(stride, sizeof(int64_t))
            if self.seen is NULL:
                raise MemoryError
        changed = []
        group = 0
        while group * DIRTY_ACCOUNTS < accounts:
            if group % 8 == 0 and not everything and not self._any_dirty(group, workers):
                group += 8
                continue
            if self._clean(group, workers) or everything:
                for a in range(group * DIRTY_ACCOUNTS, min(accounts, (group + 1) * DIRTY_ACCOUNTS)):
                    captured = account_captured(layout_cell(&self.s, 0, a), stride, workers)
                    if captured != self.seen[a] or (everything and captured):
                        self.seen[a] = captured
                        changed.append((a, captured))
            group += 1
        return changed

    cdef bint _any_dirty(self, uint64_t group, int workers):
        """Whether one of the eight groups from `group` (a multiple of 8) on is dirty."""
        cdef uint64_t seen = 0
        cdef int w
        for w in range(workers):
            seen |= load_u64(<uint64_t*>(self.s.dirty + w * self.s.dirty_stride + group))
        return seen != 0

    cdef bint _clean(self, uint64_t group, int workers):
        """Whether a worker has captured from the group. Its bytes are cleared before anything is read: what is captured
        from here on sets them again."""
        cdef uint8_t* dirty
        cdef bint found = False
        cdef int w
        for w in range(workers):
            dirty = self.s.dirty + w * self.s.dirty_stride + group
            if dirty[0] and swap_u8(dirty, 0):
                found = True
        return found

    def worker(self, index: int) -> dict[str, int]:
        """pid, state, open connections on both sides, calls in flight, what they hold (nanos), connections accepted,
        bytes of memory, how short of it, connections closed for that, those turned away for their PROXY header, TLS
        handshakes done and not done, last heartbeat (ns of the monotonic clock, 0: none yet)."""
        cdef worker_t* w
        self._worker(index)
        w = &self.s.workers[<int>index]
        return {"pid": w.pid, "state": load_u64(&w.state), "clients": w.clients, "upstreams": w.upstreams,
                "exchanges": w.exchanges, "tunnels": w.tunnels, "held": w.held, "accepted": w.accepted,
                "memory": w.memory, "pressure": w.pressure, "shed": w.shed, "turned_away": w.turned_away,
                "handshakes": w.handshakes, "handshakes_failed": w.handshakes_failed,
                "beat_ns": load_u64(&w.heartbeat_ns)}

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

    def model_counts(self, index: int) -> dict[int, tuple[int, int, int, int, int, int, int]]:
        """What one worker has counted of each model that it has served, by number, ever: calls, those of which the
        tokens are estimated, tokens in, out, of those in cached, of those out reasoning, and nanos that calls have cost
        beyond what could be held."""
        cdef const model_count_t* m
        cdef uint64_t number
        self._worker(index)
        counts = {}
        for number in range(1, load_u64(&self.s.header.models) + 1):
            m = layout_model(&self.s, index, number)
            if load_u64(&m.calls):
                counts[number] = (load_u64(&m.calls), load_u64(&m.estimated), load_u64(&m.tokens_in),
                                  load_u64(&m.tokens_out), load_u64(&m.tokens_cached), load_u64(&m.tokens_reasoning),
                                  served_forgone(m))
        return counts

    def journal_into(self, worker: int, first: int, buffer: object) -> tuple[int, int, int]:
        """Copy finished calls of one worker, from number `first` on, into `buffer` (writable, C-contiguous): (records
        copied, the number to go on with, how many were overwritten before they could be copied).

        Records are RECORD_BYTES each, in order, and never half-written ones; of what does not fill a record at the end
        of the buffer nothing is said. There may be more when it is full. Other threads run meanwhile. Raises
        ValueError when `first` is beyond what was written, BufferError for a buffer that is not as said.
        """
        cdef uint64_t start, copied, following, lost
        cdef int w
        cdef Py_buffer view
        self._worker(worker)
        w = worker
        if not 0 <= first <= load_u64(&layout_journal(&self.s, w).written):
            raise ValueError(f"worker {worker} has not written as many records as {first}")
        start = first
        PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE | PyBUF_WRITABLE)
        try:
            with nogil:
                copied = journal_copy(&self.s, w, start, <char*>view.buf, view.len // sizeof(record_t), &following,
                                      &lost)
        finally:
            PyBuffer_Release(&view)
        return copied, following, lost

    def journal(self, index: int, first: int) -> tuple[bytes, int, int]:
        """Finished calls of one worker from number `first` on: (records, the next number, how many were overwritten).

        All that there are now, as `journal_into` gives them.
        """
        self._worker(index)
        waiting = self.journal_written(index) - first
        records = bytearray(max(0, min(waiting, self.s.header.journal_records)) * RECORD_BYTES)
        copied, following, lost = self.journal_into(index, first, records)
        return bytes(records[:copied * RECORD_BYTES]), following, lost

    def journal_written(self, worker: int) -> int:
        """How many records the worker slot has ever written."""
        self._worker(worker)
        return load_u64(&layout_journal(&self.s, worker).written)

    def journal_cost(self, worker: int) -> int:
        """Nanos that the calls of the worker slot have cost, ever; as its last record says."""
        self._worker(worker)
        return load_i64(&layout_journal(&self.s, worker).cost_sum)

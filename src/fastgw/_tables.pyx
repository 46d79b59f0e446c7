# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: embedsignature=True, embedsignature.format=clinic
"""Decides which number a route, a plan, a served model, a limit or a scope has: its own while the segment lives."""
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from fastgw._drain cimport Drain
from fastgw.kernels.atomics cimport load_u64, store_u64
from fastgw.kernels.bucket cimport limit_t
from fastgw.kernels.layout cimport (
    LIMITS_MAX, MODELS_MAX, PLANS_MAX, SCOPE_BYTES, SCOPES_MAX, WORKERS_MAX, layout_model, model_count_t, model_name_t,
    name_t, scope_t,
)

from fastgw._mapping import SegmentError
from fastgw.limits import limit_units

cdef uint64_t MODELS_AHEAD = 64  # that memory is claimed for at once: a page of each worker's counts


cdef class Tables(Drain):
    """A segment with its tables of names and limits, which have one writer and only grow."""

    def __init__(self, path: str):
        super().__init__(path)
        self.limit_numbers = {}
        self.model_numbers = {}
        self.scope_numbers = {}

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

    def limit_of(self, number: int) -> tuple[int, int, int, int]:
        """(interval, scale, burst, window_s) of a key's limit: one call per interval / scale ns. Raises IndexError."""
        cdef limit_t* limit
        self._limit(number)
        if not number:
            raise IndexError("0 is no limit")
        limit = &self.s.limits[<uint64_t>number - 1]
        return limit.interval, limit.scale, limit.burst, limit.window_s

    def route_slot(self, name: str) -> int:
        """The slot of the route of that name, its own for as long as the segment lives.

        Raises ValueError for a name of more than 63 bytes, SegmentError when the table is full.
        """
        return self._name(name, "route", self.s.routes, &self.s.header.routes, self.s.header.routes_max,
                          "since the segment was made: raise routes_max")

    def routes(self) -> list[str]:
        """The names of the routes by slot."""
        return self._names(self.s.routes, &self.s.header.routes)

    def plan_slot(self, name: str) -> int:
        """The slot, from 1 on, of the plan of that name, its own for as long as the segment lives. Raises like
        `route_slot`."""
        return 1 + self._name(name, "plan", self.s.plans, &self.s.header.plans, PLANS_MAX,
                              "since the segment was made")

    def plans(self) -> list[str]:
        """The names of the plans; that of slot n is at n - 1."""
        return self._names(self.s.plans, &self.s.header.plans)

    def model_number(self, name: str) -> int:
        """The number, from 1 on, of the served model of that name ("provider/model"), its own for as long as the
        segment lives. Raises ValueError for a name of more than 127 bytes, SegmentError when the table is full."""
        cdef uint64_t number = self.s.header.models
        raw = name.encode()
        known = self._model_numbers()
        if raw in known:
            return known[raw]
        if not 0 < len(raw) < sizeof(model_name_t):
            raise ValueError(f"model name {name!r} must have 1 to {sizeof(model_name_t) - 1} bytes")
        if number >= MODELS_MAX:
            raise SegmentError(f"more than {MODELS_MAX} different models since the segment was made")
        if number % MODELS_AHEAD == 0:
            self._claim_models(number)
        memcpy(self.s.models[number].name, <const char*>raw, len(raw) + 1)
        store_u64(&self.s.header.models, number + 1)
        known[raw] = number + 1
        return number + 1

    cdef _claim_models(self, uint64_t number):
        """Have memory for MODELS_AHEAD names from that number on, and for what every worker counts of them."""
        areas = [(<uint64_t>&self.s.models[number], MODELS_AHEAD * sizeof(model_name_t))]
        areas += [(<uint64_t>layout_model(&self.s, <int>w, number + 1), MODELS_AHEAD * sizeof(model_count_t))
                  for w in range(WORKERS_MAX)]
        try:
            self._claim(areas)
        except OSError as error:
            raise SegmentError(f"there is no memory for another model in {self.path}: {error.strerror}") from None

    cdef dict _model_numbers(self):
        cdef uint64_t i
        for i in range(len(self.model_numbers), load_u64(&self.s.header.models)):
            self.model_numbers[<bytes>self.s.models[i].name] = i + 1
        return self.model_numbers

    def models(self) -> list[str]:
        """The names of the served models; that of number n is at n - 1."""
        return [raw.decode() for raw in self._model_numbers()]

    def scope(self, patterns: Sequence[str]) -> int:
        """The number (≥ 1) of a set of models, by their names or patterns of names, which have no spaces; the same for
        equal ones. Raises ValueError for none and for more than 1,023 bytes, SegmentError when the table is full."""
        cdef uint64_t number = self.s.header.scopes
        cdef uint64_t i
        for i in range(len(self.scope_numbers), number):
            self.scope_numbers[<bytes>self.s.scopes[i].text] = i + 1
        raw = " ".join(patterns).encode()
        known = self.scope_numbers.get(raw)
        if known:
            return known
        if not 0 < len(raw) < SCOPE_BYTES:
            raise ValueError(f"a set of models must have 1 to {SCOPE_BYTES - 1} bytes")
        if number >= SCOPES_MAX:
            raise SegmentError(f"more than {SCOPES_MAX} different sets of models that keys are limited to")
        try:
            self._claim([(<uint64_t>&self.s.scopes[number], sizeof(scope_t))])
        except OSError as error:
            raise SegmentError(f"there is no memory for another set of models: {error.strerror}") from None
        memcpy(self.s.scopes[number].text, <const char*>raw, len(raw) + 1)
        store_u64(&self.s.header.scopes, number + 1)
        self.scope_numbers[raw] = number + 1
        return number + 1

    def scope_of(self, number: int) -> tuple[str, ...]:
        """The names and patterns of a set of models; of 0, none. Raises IndexError."""
        self._scope(number)
        return tuple((<bytes>self.s.scopes[<uint64_t>number - 1].text).decode().split(" ")) if number else ()

    cdef int _scope(self, object number) except -1:
        if not 0 <= number <= load_u64(&self.s.header.scopes):
            raise IndexError(f"no set of models {number}")
        return 0

    cdef uint64_t _name(self, str name, str noun, name_t* names, uint64_t* count, uint64_t most, str advice) except? 0:
        cdef uint64_t number = count[0]
        cdef uint64_t i
        raw = name.encode()
        if len(raw) > 63:
            raise ValueError(f"{noun} name {name!r} is longer than 63 bytes")
        for i in range(number):
            if names[i].name == raw:
                return i
        if number >= most:
            raise SegmentError(f"more than {most} different {noun}s {advice}")
        memcpy(names[number].name, <const char*>raw, len(raw) + 1)
        store_u64(count, number + 1)
        return number

    cdef list _names(self, name_t* names, const uint64_t* count):
        cdef uint64_t i
        return [names[i].name.decode() for i in range(load_u64(count))]

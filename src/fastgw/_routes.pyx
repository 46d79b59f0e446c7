# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: embedsignature=True, embedsignature.format=clinic
"""Decides which route a request meets: by host, then the longest path of whole segments, then the method; and quotes
what a call to it would cost."""
from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memset

from fastgw._http cimport RequestHead
from fastgw._segment cimport Segment
from fastgw.kernels.atomics cimport CLOCK_MONOTONIC, CLOCK_REALTIME, clock_ns
from fastgw.kernels.bucket cimport limit_t
from fastgw.kernels.claim cimport (
    POLICY_KEY, POLICY_ROUTE, claim_key, claim_look, claim_room, claim_t, plan_t, tariff_t,
)
from fastgw.kernels.head cimport head_t
from fastgw.kernels.layout cimport PLANS_MAX, layout_counters
from fastgw.kernels.octets cimport same_lower

from fastgw import refusals
from fastgw.limits import limit_units
from fastgw.refusals import Refusal


cdef int set_limit(limit_t* limit, object rate) except -1:
    """Write a `fastgw.model.Rate` in the units of a bucket; None is no limit. Raises ValueError, see `limit_units`."""
    if rate is not None:
        limit.interval, limit.tolerance, limit.scale, limit.window_s = limit_units(
            rate.count, rate.period_ns, rate.burst)
        limit.burst = rate.burst
    return 0


cdef class RouteTable:
    """The routes of one worker and the plans of all accounts, as `fastgw.rows` describes them; built once, then only
    read. Whoever only quotes may give any worker's number: nothing is written.
    """

    def __init__(self, Segment segment, int worker, list routes, list plans):
        segment._worker(worker)
        self.segment = segment
        self.s = &segment.s
        self.keep = []
        self._load_plans(plans)
        self._load(segment, worker, routes)

    def __dealloc__(self):
        cdef int i
        if self.groups is not NULL:
            for i in range(self.group_count):
                free(self.groups[i].prefixes)
        if self.routes is not NULL:
            for i in range(<int>self.count):
                free(<void*>self.routes[i].tariff.plan_price)
        free(self.groups)
        free(self.routes)
        free(self.plans)
        free(self.order)
        free(self.drops)
        free(self.drop_lengths)

    def _load_plans(self, list plans):
        """Lay the plans out by slot. Raises ValueError for a slot that no segment has."""
        cdef plan_t* plan
        if any(not 1 <= row.slot <= PLANS_MAX for row in plans):
            raise ValueError(f"the slot of a plan is 1 to {PLANS_MAX}")
        self.plan_count = 1 + max((row.slot for row in plans), default=0)
        self.plans = <plan_t*>calloc(self.plan_count, sizeof(plan_t))
        for row in plans:
            plan = &self.plans[<int>row.slot]
            set_limit(&plan.limit, row.rate)
            plan.day_quota = row.day_quota
            plan.month_quota = row.month_quota
            set_limit(&plan.tokens, row.token_rate)
            plan.day_tokens = row.day_tokens
            plan.month_tokens = row.month_tokens

    cdef int _load_tariff(self, tariff_t* tariff, object row) except -1:
        cdef uint32_t slot
        cdef int64_t* prices = NULL
        tariff.price = row.price_nanos if row.needs_key else 0
        set_limit(&tariff.limit, row.rate)
        tariff.bucket = self.s.buckets + <uint64_t>row.slot * self.s.header.keys_max
        tariff.plan = self.plans
        tariff.plans = self.plan_count
        if row.plan_prices:
            prices = <int64_t*>calloc(self.plan_count, sizeof(int64_t))
            tariff.plan_price = prices
            for slot in range(self.plan_count):
                prices[slot] = row.plan_prices.get(slot, -1)
        return 0

    def _load(self, Segment segment, int worker, list routes):
        cdef route_t* r
        cdef uint32_t at
        self.count = len(routes)
        self.routes = <route_t*>calloc(self.count + 1, sizeof(route_t))
        drops = [name for row in routes for name in row.drop]
        self.keep.append(drops)
        self.drops = <const char**>calloc(len(drops) + 1, sizeof(char*))
        self.drop_lengths = <size_t*>calloc(len(drops) + 1, sizeof(size_t))
        for i, name in enumerate(drops):
            self.drops[<int>i] = PyBytes_AS_STRING(name)
            self.drop_lengths[<int>i] = len(name)
        at = 0
        for i, row in enumerate(routes):
            self.keep.append(row)
            r = &self.routes[<int>i]
            self._load_tariff(&r.tariff, row)
            r.number = row.slot + 1
            r.counters = layout_counters(&segment.s, worker, r.number)
            r.methods = row.methods
            r.needs_key = row.needs_key
            r.forward_key = row.forward_key
            r.preserve_host = row.preserve_host
            r.dialect = row.dialect
            r.set_lines = PyBytes_AS_STRING(row.set_lines)
            r.set_length = len(row.set_lines)
            r.name = PyBytes_AS_STRING(row.name)
            r.name_length = len(row.name)
            r.first_drop = at
            r.drops = len(row.drop)
            at += r.drops
        hosts = sorted({host for row in routes for host in row.hosts})
        self.hosts = {host: i + 1 for i, host in enumerate(hosts)}
        self.named_hosts = bool(hosts)
        total = sum(len(row.hosts) or 1 for row in routes)
        self.order = <uint32_t*>calloc(total + 1, sizeof(uint32_t))
        self.group_count = len(hosts) + 1
        self.groups = <group_t*>calloc(self.group_count, sizeof(group_t))
        filled = 0
        for g, host in enumerate([None, *hosts]):
            members = [(row.path, i) for i, row in enumerate(routes)
                       if (host in row.hosts if host is not None else not row.hosts)]
            filled = self._load_group(g, members, filled)

    def _load_group(self, int number, list members, int filled):
        """Sort the paths of a group; each knows the longest shorter path that it begins with."""
        cdef group_t* group = &self.groups[number]
        cdef prefix_t* p
        paths = sorted({path for path, _ in members})
        self.keep.append(paths)
        group.count = len(paths)
        group.prefixes = <prefix_t*>calloc(len(paths) + 1, sizeof(prefix_t))
        for i, path in enumerate(paths):
            p = &group.prefixes[<int>i]
            p.path = PyBytes_AS_STRING(path)
            p.length = len(path)
            p.parent = max((j for j in range(i) if path.startswith(paths[j])), key=lambda j: len(paths[j]), default=-1)
            p.first = filled
            for other, index in members:
                if other == path:
                    self.order[<int>filled] = index
                    filled += 1
            p.routes = filled - p.first
        return filled

    cpdef int match(self, RequestHead head) except -2:
        """The index of the route for the head just scanned, or -1. A route of its host goes before one of any host."""
        cdef int index = -1
        if self.named_hosts:
            group = self.hosts.get(head.host())
            if group is not None:
                index = self._find(&self.groups[<int>group], head)
        return index if index >= 0 else self._find(&self.groups[0], head)

    cdef int _find(self, const group_t* group, RequestHead head) noexcept:
        """The route for the path: the longest prefix, whole segments only, that takes the method; or -1."""
        cdef const head_t* h = &head.h
        cdef const char* path = head.at + h.target
        cdef uint32_t length = h.path_length
        cdef uint32_t n
        cdef int low = 0
        cdef int high = <int>group.count
        cdef int middle, order
        cdef const prefix_t* p
        cdef const route_t* r
        while low < high:                               # the last path that is not greater than ours
            middle = (low + high) // 2
            p = &group.prefixes[middle]
            n = p.length if p.length < length else length
            order = memcmp(p.path, path, n)
            if order < 0 or (order == 0 and p.length <= length):
                low = middle + 1
            else:
                high = middle
        low -= 1
        while low >= 0:
            p = &group.prefixes[low]
            if p.length <= length and memcmp(p.path, path, p.length) == 0 and (
                    p.path[p.length - 1] == 47 or p.length == length or path[p.length] == 47):
                for n in range(p.first, p.first + p.routes):
                    r = &self.routes[self.order[n]]
                    if r.methods == 0 or r.methods >> h.method & 1:
                        return <int>self.order[n]
            low = p.parent
        return -1

    cdef bint replaces(self, const route_t* route, const char* name, size_t length) noexcept:
        """Whether the route sets this field of the upstream's request itself."""
        cdef uint32_t i
        for i in range(route.first_drop, route.first_drop + route.drops):
            if self.drop_lengths[i] == length and same_lower(name, self.drops[i], length):
                return True
        return False

    # Quotes

    def quote(self, int route, key: int) -> dict:
        """What a call to route number `route` with the key at that index (-1: none) would meet now; nothing is taken.

        `price` (nanos), `verdict` (Refusal) and `wait_ns` (of a limit, else 0); `policy`, the name of that limit ("" if
        none); `available` (nanos that could be held, None where nothing is to be paid); and of a refusal the numbers
        that its body has, calls as integers, times in Unix seconds, 0 for never. Raises IndexError.
        """
        cdef claim_t c
        cdef const route_t* r
        cdef int verdict
        if not 0 <= route < <int>self.count:
            raise IndexError(f"no route {route}")
        r = &self.routes[route]
        memset(&c, 0, sizeof(claim_t))
        if not r.needs_key:
            return self._quoted(r, &c, Refusal.ADMITTED)
        if key < 0:
            return self._quoted(r, &c, Refusal.MISSING_KEY)
        self.segment._key(key)
        c.time_ns = clock_ns(CLOCK_REALTIME)
        c.now_ns = clock_ns(CLOCK_MONOTONIC) - <int64_t>self.s.header.epoch_ns
        verdict = claim_key(self.s, &r.tariff, key, &c)
        if verdict == 0:
            verdict = claim_look(self.s, &r.tariff, &c)
            if verdict == 0 and c.price:
                c.available = claim_room(&self.s.accounts[c.account])
                if c.budget:
                    c.available = min(c.available, claim_room(&self.s.accounts[c.budget - 1]))
        return self._quoted(r, &c, Refusal(verdict))

    cdef dict _quoted(self, const route_t* r, const claim_t* c, object verdict):
        known = {"price": c.price, "available": c.available, "limit": c.quota, "used": c.used,
                 "window": "month" if c.monthly else "day", "resets_at": c.at_s, "expired_at": c.at_s}
        quote = {"price": c.price, "verdict": verdict, "wait_ns": c.wait_ns, "policy": "",
                 "available": c.available if c.price else None}
        if verdict is Refusal.RATE_LIMITED:
            quote["policy"] = (r.name[:r.name_length].decode() if c.policy == POLICY_ROUTE
                               else "key" if c.policy == POLICY_KEY else "plan")
        if verdict in refusals.TABLE:
            names = [number.name.lower() for number in refusals.TABLE[verdict].numbers]
            quote.update((name, known[name]) for name in names)
        return quote

# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: embedsignature=True, embedsignature.format=clinic
"""Decides which route a request meets: by host, then the longest path of whole segments, then the method."""
from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp

from fastgw._http cimport RequestHead
from fastgw._segment cimport Segment
from fastgw.kernels.head cimport head_t
from fastgw.kernels.layout cimport layout_counters
from fastgw.kernels.octets cimport same_lower

from fastgw.limits import limit_units


cdef class RouteTable:
    """The routes of one worker, as `fastgw.dataplane.admission.RouteRow` describes them; built once, then only read."""

    def __init__(self, Segment segment, int worker, list routes):
        segment._worker(worker)
        self.keep = []
        self._load(segment, worker, routes)

    def __dealloc__(self):
        cdef int i
        if self.groups is not NULL:
            for i in range(self.group_count):
                free(self.groups[i].prefixes)
        free(self.groups)
        free(self.routes)
        free(self.order)
        free(self.drops)
        free(self.drop_lengths)

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
            r.price = row.price_nanos
            if row.rate is not None:
                r.limit.interval, r.limit.tolerance, r.limit.scale, r.limit.window_s = limit_units(
                    row.rate.count, row.rate.period_ns, row.rate.burst)
                r.limit.burst = row.rate.burst
            r.bucket = segment.s.buckets + <uint64_t>row.slot * segment.s.header.keys_max
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

    cpdef int match(self, RequestHead head):
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

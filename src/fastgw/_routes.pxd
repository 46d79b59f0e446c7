from libc.stdint cimport uint8_t, uint32_t, uint64_t

from fastgw._http cimport RequestHead
from fastgw._segment cimport Segment
from fastgw.kernels.claim cimport claim_t, plan_t, tariff_t
from fastgw.kernels.layout cimport segment_t

cdef struct route_t:
    tariff_t tariff
    uint64_t* counters          # of this worker
    uint32_t number             # slot in the segment + 1
    uint32_t methods            # bit per method_t; 0: any
    bint needs_key
    bint forward_key
    bint preserve_host
    uint8_t dialect
    const char* set_lines       # whole lines to add to the upstream's head
    size_t set_length
    const char* name
    size_t name_length
    uint32_t first_drop         # fields of the client that set_lines replaces: range in RouteTable.drops
    uint32_t drops

cdef struct prefix_t:           # one path of one group of hosts
    const char* path
    uint32_t length
    int parent                  # the longest shorter path that is a prefix of this one, or -1
    uint32_t first              # range in RouteTable.order
    uint32_t routes

cdef struct group_t:            # the routes of one host, or of any host; paths sorted
    prefix_t* prefixes
    uint32_t count


cdef class RouteTable:
    cdef Segment segment                # which keeps the memory mapped that the routes point into
    cdef segment_t* s
    cdef route_t* routes
    cdef readonly uint32_t count
    cdef uint32_t* order                # routes by path, as the prefixes name them
    cdef group_t* groups                # 0: any host
    cdef int group_count
    cdef bint named_hosts
    cdef dict hosts                     # host -> index in groups
    cdef plan_t* plans                  # by slot
    cdef uint32_t plan_count
    cdef list keep                      # objects whose bytes the tables point at
    cdef const char** drops
    cdef size_t* drop_lengths
    cdef int _find(self, const group_t* group, RequestHead head) noexcept
    cpdef int match(self, RequestHead head) except -2
    cdef bint replaces(self, const route_t* route, const char* name, size_t length) noexcept
    cdef int _load_tariff(self, tariff_t* tariff, object row) except -1
    cdef dict _quoted(self, const route_t* r, const claim_t* c, object verdict)

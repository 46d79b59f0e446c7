from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fastgw._http cimport RequestHead
from fastgw._segment cimport Segment
from fastgw.kernels.bucket cimport limit_t

cdef struct route_t:
    int64_t price               # nanos a call
    limit_t limit               # scale 0: no limit
    uint64_t* bucket            # of key 0
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
    cdef route_t* routes
    cdef readonly uint32_t count
    cdef uint32_t* order                # routes by path, as the prefixes name them
    cdef group_t* groups                # 0: any host
    cdef int group_count
    cdef bint named_hosts
    cdef dict hosts                     # host -> index in groups
    cdef list keep                      # objects whose bytes the tables point at
    cdef const char** drops
    cdef size_t* drop_lengths
    cdef int _find(self, const group_t* group, RequestHead head) noexcept
    cpdef int match(self, RequestHead head)
    cdef bint replaces(self, const route_t* route, const char* name, size_t length) noexcept

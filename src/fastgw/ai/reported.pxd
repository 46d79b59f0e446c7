from fastgw._json cimport Picker
from fastgw._usage cimport Usage

cimport cython

cdef Picker _picker
cdef int DETAILS, TOTAL, PROMPT, INPUT, COMPLETION, OUTPUT, SECONDS, CACHE_HIT, CACHED, CACHE_READ, SEARCHES, INSIDE
cdef int OUTSIDE, WRITTEN, LASTING, THINKING, SEARCH_REQUESTS, COUNTS, INSIDES, INSIDE_NUMBERS, OUTSIDE_NUMBERS

cdef long long _known(object number) except? -1
cpdef Usage openai(object told)


@cython.locals(usage=Usage, taken=cython.longlong, made=cython.longlong, visible=cython.longlong, other=cython.longlong)
cdef Usage _openai(long long total, long long prompt, long long input_, long long completion, long long output,
                   long long seconds, long long cache_hit, long long cached, long long cache_read, long long searches,
                   long long cached_inside, long long written, long long created, long long lasting, long long audio_in,
                   long long reasoning, long long audio_out)
cdef Usage _anthropic(Usage before, long long plain, long long made, long long cached, long long written,
                      long long lasting, long long thought, long long searches)
cpdef bint reads_usage(bytes body) except -1


@cython.locals(picker=Picker, inside=int, outside=int, place=int)
cpdef Usage found_usage(str dialect)

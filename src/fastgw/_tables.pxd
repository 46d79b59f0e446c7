from libc.stdint cimport uint64_t

from fastgw._drain cimport Drain
from fastgw.kernels.layout cimport name_t


cdef class Tables(Drain):
    cdef dict limit_numbers             # by interval, scale and burst
    cdef dict model_numbers             # by name
    cdef dict scope_numbers             # by text
    cdef dict _model_numbers(self)
    cdef int _scope(self, object number) except -1
    cdef _claim_models(self, uint64_t number)
    cdef uint64_t _name(self, str name, str noun, name_t* names, uint64_t* count, uint64_t most, str advice) except? 0
    cdef list _names(self, name_t* names, const uint64_t* count)

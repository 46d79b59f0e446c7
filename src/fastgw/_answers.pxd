from fastgw._call cimport Ticket
from fastgw._routes cimport route_t
from fastgw.kernels.claim cimport claim_t
from fastgw.kernels.layout cimport record_t
from fastgw.kernels.template cimport template_t


cdef class Answers:
    cdef template_t* templates          # [dialect][code]
    cdef int codes
    cdef list keep                      # objects whose bytes they point at
    cdef char date[64]
    cdef size_t date_length
    cdef char* scratch
    cdef load(self, list templates)
    cdef void date_is(self, bytes line) noexcept
    cdef bytes lines(self, Ticket ticket, bint close, bint dated)
    cdef bytes refusal(self, int verdict, int dialect, record_t* record, const claim_t* claim, const route_t* route,
                       bint head_method, int minor, bint close)

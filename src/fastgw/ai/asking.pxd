from fastgw._json cimport Picker
from fastgw._usage cimport Usage
from fastgw.ai.estimate cimport has_types, request
from fastgw.ai.relay cimport Asked

cimport cython

cdef int ABSENT, ODD
cdef Picker _picker
cdef int MODEL, STREAM, N, MESSAGES, INPUT, TOOLS, SEARCH, PROMPT, BEST_OF, SELDOM
cdef dict _MEDIA


cdef class Body:
    cdef public bytes raw
    cdef public str content_type
    cdef public Asked asked
    cdef public bint is_json
    cdef public bint plain
    cdef public dict fields
    cdef public dict caps
    cdef public str hosted
    cdef public object model_field

    cpdef member(self, int place)
    cpdef bytes changed(self, dict changes)


cpdef Body read_body(object operation, bytes raw, str content_type)
cpdef decode(object decoder, object raw, str parameter=*)


@cython.locals(most=cython.longlong, least=cython.longlong, asked=Asked)
cdef _read_json(object operation, Body body)
cdef str _model(object operation, str name)
cdef _estimate(object operation, Body body)
cdef str _hosted(Body body)
cdef str _string(Body body, int place)


@cython.locals(flag=int)
cdef bint _is_true(Body body, int place) except -1


@cython.locals(value=cython.longlong)
cdef long long _number(Body body, int place, long long least, long long most) except? -3
cdef long long _choices(str operation, Body body) except -1

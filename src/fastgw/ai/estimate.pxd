from fastgw._json cimport contains

cimport cython

cdef unsigned char BACKSLASH
cdef Py_ssize_t LITTLE_BYTES

cpdef long long piece(str text) except -1
cpdef long long tokens_of(Py_ssize_t size) except -1
cpdef bint has_types(bytes body) except -1


@cython.locals(size=Py_ssize_t, flat=Py_ssize_t, held=Py_ssize_t)
cpdef tuple request(bytes body, object messages=*)

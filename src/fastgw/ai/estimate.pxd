from fastgw._json cimport contains

cimport cython

cpdef long long piece(str text) except -1
cpdef bint has_types(bytes body) except -1
@cython.locals(size=Py_ssize_t, flat=Py_ssize_t, held=Py_ssize_t)
cpdef tuple request(bytes body, object messages=*)

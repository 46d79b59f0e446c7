cpdef Py_ssize_t send_now(int descriptor, bytes data)
cpdef bint is_quiet(int descriptor)

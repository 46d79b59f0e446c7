cpdef Py_ssize_t send_now(int descriptor, bytes data)

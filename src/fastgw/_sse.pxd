cpdef bint is_event(bytes data) noexcept

cpdef list cut(bytes data)

cpdef Py_ssize_t data_at(bytes block) noexcept

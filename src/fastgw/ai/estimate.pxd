cpdef long long piece(str text) except -1

cdef class Body:
    cdef public bytes raw
    cdef public str content_type
    cdef public object asked
    cdef public dict fields
    cdef public dict caps
    cdef public object model_field


cpdef decode(object decoder, object raw, str parameter=*)
cdef _read_json(object operation, Body body)
cdef str _model(object operation, str name)
cdef _input(object operation, Body body)
cdef _choices(str operation, dict fields)
cdef _number(dict fields, str name, long long least, long long most)

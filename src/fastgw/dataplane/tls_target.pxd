from fastgw.dataplane.tls_layer cimport TlsLayer


cdef class TlsToTarget(TlsLayer):
    cdef public object done
    cdef public object error
    cpdef unsendable(self)

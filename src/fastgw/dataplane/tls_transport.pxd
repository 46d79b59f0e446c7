from fastgw.dataplane.plane cimport Plane
from fastgw.dataplane.tls_layer cimport TlsLayer


cdef class TlsTransport(TlsLayer):
    cdef public Plane plane
    cdef public object exchange
    cpdef unsendable(self)

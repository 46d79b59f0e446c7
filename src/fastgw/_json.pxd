from libc.stdint cimport int16_t, uint8_t, uint32_t

cdef enum:
    NODES_MAX = 64
    SLOTS_MAX = 48
    NAME_MAX = 31

cdef struct node_t:
    uint8_t length              # of its name; 0: an item of an array
    char name[NAME_MAX]
    uint32_t lengths            # those of its members' names, a bit for each
    int16_t slot                # -1: its value as a whole is not asked for
    int16_t child               # the first one of its members, 0: none is asked for
    int16_t next                # the next one beside it, 0: none

cdef struct span_t:
    Py_ssize_t name             # of a member: where its name begins, with the quote
    Py_ssize_t start
    Py_ssize_t end              # 0: it is not there


cdef class Picker:
    cdef node_t nodes[NODES_MAX]
    cdef int count
    cdef int slots
    cdef readonly tuple paths
    cdef bytes text
    cdef bint plain
    cdef span_t spans[SLOTS_MAX]
    cdef Py_ssize_t close       # where the object ends, the brace not included
    cdef bint empty

    cdef int _node(self, int parent, bytes name) except -1
    cdef const char* _walk(self, const char* p, const char* end, int node, int depth) noexcept
    cdef const char* _members(self, const char* p, const char* end, int node, int depth) noexcept
    cdef const char* _items(self, const char* p, const char* end, int node, int depth) noexcept
    cdef const char* _pick(self, const char* p, const char* end, int node, int depth) noexcept
    cpdef bint read(self, bytes text, Py_ssize_t start=*, Py_ssize_t end=*)
    cpdef bint holds(self, bytes text) noexcept
    cpdef bint has(self, int slot) noexcept
    cpdef bint any(self, int first, int last) noexcept
    cpdef bint null(self, int slot) noexcept
    cpdef bytes value(self, int slot)
    cpdef long long number(self, int slot) noexcept
    cpdef bint counts(self, int first, int last, long long most) noexcept
    cpdef int flag(self, int slot) noexcept
    cpdef str string(self, int slot)
    cpdef Py_ssize_t size(self, int slot) noexcept
    cpdef bytes without(self, int slot, Py_ssize_t start, Py_ssize_t end)
    cpdef bytes changed(self, list slots, list values)


cpdef bint contains(bytes text, bytes part) noexcept

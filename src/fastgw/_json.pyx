# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: embedsignature=True, embedsignature.format=clinic
"""Decides what a plain JSON text says where it is asked, without making an object of all the rest.

Only well-formed texts are plain, and only those that every reader takes for the same; the others are for a library.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memchr, memcmp, memcpy, memset

from fastgw.kernels.json cimport JSON_DEPTH, json_name, json_size, json_space, json_value
from fastgw.kernels.octets cimport memmem

cdef enum:
    NO_VALUE = -1
    ODD_VALUE = -2
    DIGITS_MAX = 18
    TEXT_MAX = 1 << 20

ABSENT, ODD = NO_VALUE, ODD_VALUE


cdef bint _same_but_case(const char* p, const char* name, Py_ssize_t length) noexcept:
    cdef Py_ssize_t i
    cdef char c, d
    if (p[0] ^ name[0]) & ~32:
        return False
    for i in range(length):
        c = p[i]
        d = name[i]
        if c != d and (c ^ d != 32 or not (b"a"[0] <= (c | 32) <= b"z"[0])):
            return False
    return True


cpdef bint contains(bytes text, bytes part) noexcept:
    """Whether it is anywhere in it; what `part in text` says, ten times as fast."""
    return memmem(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), PyBytes_AS_STRING(part),
                  PyBytes_GET_SIZE(part)) is not NULL


cdef inline bint _is_space(char c) noexcept:
    return c == 32 or c == 10 or c == 13 or c == 9


cdef class Picker:
    """Finds values by their paths, each of which has the number of its place in `paths`.

    A path is the names from the outermost object inwards, like "usage.prompt_tokens"; "choices[].text" is of the items
    of an array. A text is not plain where a name that is asked for is there twice, or in another case, or where an
    object or an array that a path leads through is neither that nor null. What was read last is kept: a long text is
    not plain.
    """

    def __init__(self, *paths: str):
        if len(paths) > SLOTS_MAX:
            raise ValueError(f"at most {SLOTS_MAX} paths")
        cdef int node
        self.paths = paths
        self.slots = len(paths)
        self.count = 1
        self.nodes[0].slot = -1
        for slot, path in enumerate(paths):
            node = 0
            for name in path.replace("[]", ".").split("."):
                node = self._node(node, name.encode("ascii"))
            self.nodes[node].slot = slot

    cdef int _node(self, int parent, bytes name) except -1:
        """The node of that name below a node, which is made where there is none."""
        cdef int last = 0
        cdef int node = self.nodes[parent].child
        while node:
            if self.nodes[node].length == len(name) and self.nodes[node].name[:len(name)] == name:
                return node
            last = node
            node = self.nodes[node].next
        if self.count == NODES_MAX or len(name) > NAME_MAX:
            raise ValueError("too many names, or too long a one")
        node = self.count
        self.count += 1
        memset(&self.nodes[node], 0, sizeof(node_t))
        self.nodes[node].length = <uint8_t>len(name)
        memcpy(self.nodes[node].name, PyBytes_AS_STRING(name), len(name))
        self.nodes[node].slot = -1
        self.nodes[parent].lengths |= <uint32_t>1 << len(name)
        if last:
            self.nodes[last].next = node
        else:
            self.nodes[parent].child = node
        return node

    # Reading

    cpdef bint read(self, bytes text, Py_ssize_t start=0, Py_ssize_t end=-1):
        """Take in the object `text[start:end]`; false where it is not plain."""
        cdef const char* base = PyBytes_AS_STRING(text)
        cdef const char* stop = base + (PyBytes_GET_SIZE(text) if end < 0 else end)
        cdef const char* p
        self.plain = False
        if stop - base > TEXT_MAX:
            return False
        memset(self.spans, 0, self.slots * sizeof(span_t))
        self.text = text
        p = self._members(json_space(base + start, stop), stop, 0, JSON_DEPTH)
        if p is not NULL:
            self.close = p - 1 - base
            self.plain = json_space(p, stop) == stop
        return self.plain

    cpdef bint holds(self, bytes text) noexcept:
        """Whether this very object is what was read last, and plain."""
        return self.plain and self.text is text

    cdef const char* _walk(self, const char* p, const char* end, int node, int depth) noexcept:
        """Behind the value of a node."""
        cdef const char* base = PyBytes_AS_STRING(self.text)
        cdef int slot = self.nodes[node].slot
        cdef int child = self.nodes[node].child
        cdef const char* after
        if child == 0 or (p < end and p[0] == b"n"[0]):
            after = json_value(p, end, depth)
        elif depth == 0:
            return NULL
        elif self.nodes[child].length:
            after = self._members(p, end, node, depth)
        else:
            after = self._items(p, end, child, depth)
        if slot >= 0 and after is not NULL:
            if self.spans[slot].end:
                return NULL
            self.spans[slot].start = p - base
            self.spans[slot].end = after - base
        return after

    cdef const char* _members(self, const char* p, const char* end, int node, int depth) noexcept:
        if p >= end or p[0] != b"{"[0]:
            return NULL
        p = json_space(p + 1, end)
        if node == 0:
            self.empty = p < end and p[0] == b"}"[0]
        if p < end and p[0] == b"}"[0]:
            return p + 1
        while p < end and p[0] == b'"'[0]:
            p = self._pick(p + 1, end, node, depth)
            if p is NULL:
                return NULL
            p = json_space(p, end)
            if p >= end:
                return NULL
            if p[0] == b"}"[0]:
                return p + 1
            if p[0] != b","[0]:
                return NULL
            p = json_space(p + 1, end)
        return NULL

    cdef const char* _pick(self, const char* p, const char* end, int node, int depth) noexcept:
        """Behind a member, whose name begins at `p`."""
        cdef const char* name = p
        cdef const char* after = json_name(p, end)
        cdef Py_ssize_t length
        cdef int child
        cdef bint known
        if after is NULL:
            return NULL
        length = after - name
        known = length <= NAME_MAX and self.nodes[node].lengths >> length & 1
        p = json_space(after + 1, end)
        if p >= end or p[0] != b":"[0]:
            return NULL
        p = json_space(p + 1, end)
        child = self.nodes[node].child if known else 0
        while child:
            if self.nodes[child].length == length and _same_but_case(name, self.nodes[child].name, length):
                if memcmp(name, self.nodes[child].name, length) != 0:
                    return NULL
                p = self._walk(p, end, child, depth - 1)
                if self.nodes[child].slot >= 0:
                    self.spans[self.nodes[child].slot].name = name - 1 - PyBytes_AS_STRING(self.text)
                return p
            child = self.nodes[child].next
        return json_value(p, end, depth - 1)

    cdef const char* _items(self, const char* p, const char* end, int node, int depth) noexcept:
        if p >= end or p[0] != b"["[0]:
            return NULL
        p = json_space(p + 1, end)
        if p < end and p[0] == b"]"[0]:
            return p + 1
        while True:
            p = self._walk(p, end, node, depth - 1)
            if p is NULL:
                return NULL
            p = json_space(p, end)
            if p >= end:
                return NULL
            if p[0] == b"]"[0]:
                return p + 1
            if p[0] != b","[0]:
                return NULL
            p = json_space(p + 1, end)

    # What was read

    cpdef bint has(self, int slot) noexcept:
        """Whether it is there, be it null."""
        return self.spans[slot].end > 0

    cpdef bint any(self, int first, int last) noexcept:
        """Whether one of those between the two numbers is there."""
        cdef int slot
        for slot in range(first, last):
            if self.spans[slot].end:
                return True
        return False

    cpdef bint null(self, int slot) noexcept:
        """Whether it is null, or not there."""
        return self.spans[slot].end == 0 or PyBytes_AS_STRING(self.text)[self.spans[slot].start] == b"n"[0]

    cpdef bytes value(self, int slot):
        """Its JSON; b"" where it is not there."""
        cdef span_t* span = &self.spans[slot]
        return PyBytes_FromStringAndSize(PyBytes_AS_STRING(self.text) + span.start, span.end - span.start)

    cpdef long long number(self, int slot) noexcept:
        """A whole number that is not negative; ABSENT where it is null or not there, ODD for all else."""
        cdef span_t* span = &self.spans[slot]
        cdef const char* at
        cdef long long number = 0
        cdef Py_ssize_t i
        if self.null(slot):
            return NO_VALUE
        if span.end - span.start > DIGITS_MAX:
            return ODD_VALUE
        at = PyBytes_AS_STRING(self.text)
        for i in range(span.start, span.end):
            if not b"0"[0] <= at[i] <= b"9"[0]:
                return ODD_VALUE
            number = number * 10 + (at[i] - b"0"[0])
        return number

    cpdef bint counts(self, int first, int last, long long most) noexcept:
        """Whether those between the two numbers are whole numbers up to `most`, as far as they are there."""
        cdef int slot
        cdef long long number
        for slot in range(first, last):
            if self.spans[slot].end:
                number = self.number(slot)
                if number == ODD_VALUE or number > most:
                    return False
        return True

    cpdef int flag(self, int slot) noexcept:
        """1 for true, 0 for false, ABSENT where it is null or not there, ODD for all else."""
        cdef char first
        if self.null(slot):
            return NO_VALUE
        first = PyBytes_AS_STRING(self.text)[self.spans[slot].start]
        return 1 if first == b"t"[0] else 0 if first == b"f"[0] else ODD_VALUE

    cpdef str string(self, int slot):
        """A string; "" where it is null or not there, None for all else, and where it has escapes."""
        cdef const char* at
        cdef span_t* span = &self.spans[slot]
        if self.null(slot):
            return ""
        at = PyBytes_AS_STRING(self.text)
        if at[span.start] != b'"'[0] or memchr(at + span.start, 92, span.end - span.start) is not NULL:
            return None
        try:
            return at[span.start + 1:span.end - 1].decode()
        except UnicodeDecodeError:
            return None

    cpdef Py_ssize_t size(self, int slot) noexcept:
        """Bytes of UTF-8 that a string stands for; ABSENT where it is null or not there, ODD for all else."""
        cdef const char* at
        cdef span_t* span = &self.spans[slot]
        if self.null(slot):
            return NO_VALUE
        at = PyBytes_AS_STRING(self.text)
        if at[span.start] != b'"'[0]:
            return ODD_VALUE
        return json_size(at + span.start + 1, at + span.end - 1)

    # The text with changes

    cpdef bytes without(self, int slot, Py_ssize_t start, Py_ssize_t end):
        """`text[start:end]` without a member that is there, and without the comma beside it."""
        cdef const char* base = PyBytes_AS_STRING(self.text)
        cdef Py_ssize_t first = self.spans[slot].name
        cdef Py_ssize_t last = self.spans[slot].end
        cdef Py_ssize_t before = first - 1
        cdef Py_ssize_t after = json_space(base + last, base + end) - base
        cdef bytes out
        while _is_space(base[before]):
            before -= 1
        if base[before] == b","[0]:
            first = before
        elif base[after] == b","[0]:
            last = after + 1
        out = PyBytes_FromStringAndSize(NULL, end - start - (last - first))
        memcpy(PyBytes_AS_STRING(out), base + start, first - start)
        memcpy(PyBytes_AS_STRING(out) + first - start, base + last, end - last)
        return out

    cpdef bytes changed(self, list slots, list values):
        """The object with other values (JSON) for some of its members; those that are not there are added."""
        cdef const char* base = PyBytes_AS_STRING(self.text)
        cdef list parts = []
        cdef Py_ssize_t done = 0
        cdef bint empty = self.empty
        cdef int slot
        cdef bytes value
        for slot, value in sorted(zip(slots, values), key=self._place):
            if self.spans[slot].end:
                parts.append(base[done:self.spans[slot].start])
                parts.append(value)
                done = self.spans[slot].end
            else:
                parts.append(base[done:self.close])
                parts.append(b'%b"%b":%b' % (b"" if empty else b",", self.paths[slot].encode(), value))
                done = self.close
                empty = False
        parts.append(base[done:PyBytes_GET_SIZE(self.text)])
        return b"".join(parts)

    def _place(self, change: tuple[int, bytes]) -> int:
        """Where a change is made: the members in their order, then what is added."""
        cdef int slot = change[0]
        return self.spans[slot].start if self.spans[slot].end else self.close

# Decides where a frame of a WebSocket ends and the next begins (RFC 6455 §5.2): what goes by is counted, never held.
from libc.stdint cimport uint8_t, uint64_t

cdef enum:
    FRAME_MASKED = 0x80         # of the second byte
    FRAME_LENGTH = 0x7f
    FRAME_OPCODE = 0x0f         # of the first
    OPCODE_CLOSE = 8

cdef struct frames_t:           # one direction; zeroed: at its beginning
    uint64_t left               # bytes of this frame still to come, once its length is known
    uint64_t length
    uint8_t place               # in the frame's head: 0, 1, or 2 within a longer length
    uint8_t more                # bytes of that length still to come
    uint8_t mask                # bytes of the mask
    bint closed                 # a Close has begun: nothing may follow it


cdef inline void frames_feed(frames_t* f, const char* data, size_t length) noexcept nogil:
    """Take in what comes next. Of what is no WebSocket the answer means nothing, and no harm is done."""
    cdef const uint8_t* at = <const uint8_t*>data
    cdef const uint8_t* end = at + length
    cdef uint8_t byte
    while at < end:
        if f.left:
            if f.left >= <uint64_t>(end - at):
                f.left -= end - at
                return
            at += f.left
            f.left = 0
            continue
        byte = at[0]
        at += 1
        if f.place == 0:
            f.closed = f.closed or byte & FRAME_OPCODE == OPCODE_CLOSE
            f.place = 1
        elif f.place == 1:
            f.mask = 4 if byte & FRAME_MASKED else 0
            f.length = byte & FRAME_LENGTH
            if f.length < 126:
                f.left = f.length + f.mask
                f.place = 0
            else:
                f.more = 2 if f.length == 126 else 8
                f.length = 0
                f.place = 2
        else:
            f.length = f.length << 8 | byte
            f.more -= 1
            if f.more == 0:
                f.left = (f.length & <uint64_t>0x7fffffffffffffff) + f.mask
                f.place = 0


cdef inline bint frames_between(const frames_t* f) noexcept nogil:
    """Whether a frame of somebody else may be put in here."""
    return f.left == 0 and f.place == 0 and not f.closed

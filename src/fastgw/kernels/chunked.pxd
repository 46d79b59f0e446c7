# Decides where a chunked body ends and what it carries (RFC 9112 §7.1), one byte of state at a time.
#
# Extensions are skipped and trailer fields dropped, as RFC 9112 §7.1.1 and RFC 9110 §6.5.1 allow. Stricter than the
# grammar needs: CR LF alone ends a line, no white space around a size, at most 16 digits, 4 KiB of extensions a chunk,
# no backslash in them, and 8 KiB of trailers.
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fastgw.kernels.octets cimport HEX_VALUE, TOKEN
from fastgw.kernels.render cimport put_hex

cdef enum chunked_state_t:
    CHUNK_SIZE_FIRST = 0
    CHUNK_SIZE
    EXTENSION_START
    EXTENSION_NAME
    EXTENSION_VALUE_START
    EXTENSION_VALUE
    EXTENSION_QUOTED
    EXTENSION_END
    CHUNK_SIZE_LF
    CHUNK_DATA
    CHUNK_DATA_CR
    CHUNK_DATA_LF
    TRAILER_START
    TRAILER_NAME
    TRAILER_VALUE
    TRAILER_LF
    TRAILER_END_LF
    CHUNKED_DONE
    CHUNKED_BROKEN

cdef struct chunked_t:
    uint64_t left           # bytes of the current chunk still to come
    uint64_t payload        # bytes of data so far
    uint32_t state
    uint32_t overhead       # bytes of this extension, or of all trailers


cdef inline void _extension(chunked_t* c, uint8_t byte) noexcept nogil:
    """One byte of `;name`, `;name=value` or `;name="value"`, as strict as RFC 9112 §7.1.1 without its white space."""
    if c.state == EXTENSION_QUOTED:
        if byte == 34:
            c.state = EXTENSION_END
        elif byte < 32 or byte == 92 or byte >= 127:
            c.state = CHUNKED_BROKEN
    elif TOKEN[byte] and c.state != EXTENSION_END:
        if c.state == EXTENSION_START:
            c.state = EXTENSION_NAME
        elif c.state == EXTENSION_VALUE_START:
            c.state = EXTENSION_VALUE
    elif c.state == EXTENSION_START:
        c.state = CHUNKED_BROKEN
    elif c.state == EXTENSION_VALUE_START:
        c.state = EXTENSION_QUOTED if byte == 34 else CHUNKED_BROKEN
    elif byte == 13:
        c.state = CHUNK_SIZE_LF
    elif byte == 59:
        c.state = EXTENSION_START
    elif byte == 61 and c.state == EXTENSION_NAME:
        c.state = EXTENSION_VALUE_START
    else:
        c.state = CHUNKED_BROKEN


cdef inline size_t chunked_feed(chunked_t* c, const char* data, size_t length, char* out, size_t* written,
                                bint reframe) noexcept nogil:
    """Read `data` until the body's end or the data's; returns the bytes taken.

    What the body carries goes to `out`, framed anew as chunks if `reframe` (the end included), else bare. `out` has
    room for `chunked_room(length)` bytes. At the return `state` is CHUNKED_DONE, CHUNKED_BROKEN, or neither.
    """
    cdef size_t i = 0
    cdef size_t n
    cdef uint8_t byte
    cdef char* at = out
    while i < length:
        if c.state == CHUNK_DATA:
            n = length - i
            if n > c.left:
                n = c.left
            if reframe:
                at = put_hex(at, n)
                at[0] = 13
                at[1] = 10
                at += 2
            memcpy(at, data + i, n)
            at += n
            if reframe:
                at[0] = 13
                at[1] = 10
                at += 2
            i += n
            c.left -= n
            c.payload += n
            if c.left == 0:
                c.state = CHUNK_DATA_CR
            continue
        byte = <uint8_t>data[i]
        i += 1
        if c.state == CHUNK_SIZE or c.state == CHUNK_SIZE_FIRST:
            if HEX_VALUE[byte]:
                if c.left >> 56:
                    c.state = CHUNKED_BROKEN
                    break
                c.left = c.left << 4 | <uint64_t>(HEX_VALUE[byte] - 1)
                c.overhead += 1
                if c.overhead > 16:
                    c.state = CHUNKED_BROKEN
                    break
                c.state = CHUNK_SIZE
            elif c.state == CHUNK_SIZE_FIRST:
                c.state = CHUNKED_BROKEN
                break
            elif byte == 13:
                c.state = CHUNK_SIZE_LF
            elif byte == 59:                        # ;
                c.overhead = 0
                c.state = EXTENSION_START
            else:
                c.state = CHUNKED_BROKEN
                break
        elif EXTENSION_START <= c.state <= EXTENSION_END:
            c.overhead += 1
            _extension(c, byte)
            if c.overhead > 4096 or c.state == CHUNKED_BROKEN:
                c.state = CHUNKED_BROKEN
                break
        elif c.state == CHUNK_SIZE_LF:
            if byte != 10:
                c.state = CHUNKED_BROKEN
                break
            c.overhead = 0
            c.state = CHUNK_DATA if c.left else TRAILER_START
        elif c.state == CHUNK_DATA_CR:
            if byte != 13:
                c.state = CHUNKED_BROKEN
                break
            c.state = CHUNK_DATA_LF
        elif c.state == CHUNK_DATA_LF:
            if byte != 10:
                c.state = CHUNKED_BROKEN
                break
            c.state = CHUNK_SIZE_FIRST
        elif c.state == TRAILER_START:
            if byte == 13:
                c.state = TRAILER_END_LF
            elif TOKEN[byte]:
                c.overhead += 1
                c.state = TRAILER_NAME
            else:
                c.state = CHUNKED_BROKEN
                break
        elif c.state == TRAILER_NAME:
            c.overhead += 1
            if byte == 58:                          # :
                c.state = TRAILER_VALUE
            elif not TOKEN[byte] or c.overhead > 8192:
                c.state = CHUNKED_BROKEN
                break
        elif c.state == TRAILER_VALUE:
            c.overhead += 1
            if byte == 13:
                c.state = TRAILER_LF
            elif (byte < 32 and byte != 9) or byte == 127 or c.overhead > 8192:
                c.state = CHUNKED_BROKEN
                break
        elif c.state == TRAILER_LF:
            if byte != 10:
                c.state = CHUNKED_BROKEN
                break
            c.state = TRAILER_START
        else:                                       # TRAILER_END_LF
            if byte != 10:
                c.state = CHUNKED_BROKEN
                break
            if reframe:
                memcpy(at, b"0\r\n\r\n", 5)
                at += 5
            c.state = CHUNKED_DONE
            break
    written[0] = at - out
    return i


cdef inline size_t chunked_room(size_t length) noexcept nogil:
    """Bytes that `chunked_feed` may write for `length` bytes read: no frame of ours is longer than the peer's, but the
    first may continue a chunk whose frame came earlier."""
    return length + 64

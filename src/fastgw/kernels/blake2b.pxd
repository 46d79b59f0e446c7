# Decides the digest of a key: BLAKE2b (RFC 7693) with a 32-byte secret and 32 bytes of output.
#
# Equal to `hashlib.blake2b(data, digest_size=32, key=secret)`, without the interpreter in between. The first
# block holds only the secret, so its state is computed once (`blake2b_start`).
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy, memset

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    static const uint64_t fg_b2_iv[8] = {
        0x6a09e667f3bcc908ULL, 0xbb67ae8584caa73bULL, 0x3c6ef372fe94f82bULL, 0xa54ff53a5f1d36f1ULL,
        0x510e527fade682d1ULL, 0x9b05688c2b3e6c1fULL, 0x1f83d9abfb41bd6bULL, 0x5be0cd19137e2179ULL};
    static const uint8_t fg_b2_sigma[12][16] = {
        {0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15}, {14,10,4,8,9,15,13,6,1,12,0,2,11,7,5,3},
        {11,8,12,0,5,2,15,13,10,14,3,6,7,1,9,4}, {7,9,3,1,13,12,11,14,2,6,5,10,4,0,15,8},
        {9,0,5,7,2,4,10,15,14,1,11,12,6,8,3,13}, {2,12,6,10,0,11,8,3,4,13,7,5,15,14,1,9},
        {12,5,1,15,14,13,4,10,0,7,6,3,9,2,8,11}, {13,11,7,14,12,1,3,9,5,0,15,4,8,6,2,10},
        {6,15,14,9,11,3,0,8,12,2,13,7,1,4,10,5}, {10,2,8,4,7,6,1,5,15,11,9,14,3,12,13,0},
        {0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15}, {14,10,4,8,9,15,13,6,1,12,0,2,11,7,5,3}};
    #define FG_ROR(x, n) (((x) >> (n)) | ((x) << (64 - (n))))
    #define FG_G(a, b, c, d, x, y) \\
        a += b + x; d = FG_ROR(d ^ a, 32); c += d; b = FG_ROR(b ^ c, 24); \\
        a += b + y; d = FG_ROR(d ^ a, 16); c += d; b = FG_ROR(b ^ c, 63);
    #define FG_ROUND(r) { const uint8_t *s = fg_b2_sigma[r]; \\
        FG_G(v[0], v[4], v[8],  v[12], m[s[0]],  m[s[1]])  FG_G(v[1], v[5], v[9],  v[13], m[s[2]],  m[s[3]]) \\
        FG_G(v[2], v[6], v[10], v[14], m[s[4]],  m[s[5]])  FG_G(v[3], v[7], v[11], v[15], m[s[6]],  m[s[7]]) \\
        FG_G(v[0], v[5], v[10], v[15], m[s[8]],  m[s[9]])  FG_G(v[1], v[6], v[11], v[12], m[s[10]], m[s[11]]) \\
        FG_G(v[2], v[7], v[8],  v[13], m[s[12]], m[s[13]]) FG_G(v[3], v[4], v[9],  v[14], m[s[14]], m[s[15]]) }
    static void fg_b2_compress(uint64_t *h, const uint8_t *block, uint64_t count, int last) {
        uint64_t v[16], m[16];
        memcpy(m, block, 128);
        for (int i = 0; i < 8; i++) { v[i] = h[i]; v[i + 8] = fg_b2_iv[i]; }
        v[12] ^= count;
        if (last) v[14] = ~v[14];
        FG_ROUND(0) FG_ROUND(1) FG_ROUND(2) FG_ROUND(3) FG_ROUND(4) FG_ROUND(5)
        FG_ROUND(6) FG_ROUND(7) FG_ROUND(8) FG_ROUND(9) FG_ROUND(10) FG_ROUND(11)
        for (int i = 0; i < 8; i++) h[i] ^= v[i] ^ v[i + 8];
    }
    """
    const uint64_t* blake2b_iv "fg_b2_iv"
    void blake2b_compress "fg_b2_compress"(uint64_t* state, const uint8_t* block, uint64_t count,
                                           int last) noexcept nogil


cdef inline void blake2b_start(uint64_t* state, const uint8_t* secret) noexcept nogil:
    """Write to `state` (8 words) what remains the same for every key: the parameters and the secret's block."""
    cdef uint8_t block[128]
    memcpy(state, blake2b_iv, 64)
    state[0] ^= 0x01010000 ^ (32 << 8) ^ 32
    memset(block, 0, 128)
    memcpy(block, secret, 32)
    blake2b_compress(state, block, 128, 0)


cdef inline void blake2b_digest(const uint64_t* start, const char* data, size_t length,
                                uint64_t* digest) noexcept nogil:
    """The digest (4 words, in memory order) of `length` ≥ 1 bytes."""
    cdef uint64_t state[8]
    cdef uint8_t block[128]
    cdef size_t done = 0
    memcpy(state, start, 64)
    while length - done > 128:
        blake2b_compress(state, <const uint8_t*>data + done, 128 + done + 128, 0)
        done += 128
    memset(block, 0, 128)
    memcpy(block, data + done, length - done)
    blake2b_compress(state, block, 128 + length, 1)
    memcpy(digest, state, 32)

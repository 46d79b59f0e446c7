# The only operations by which processes change a shared word: naturally aligned atomics of 8 bytes, or of 1.
from libc.stdint cimport int64_t, uint8_t, uint64_t

cdef extern from *:
    """
    #include <stdint.h>
    #include <time.h>
    #define fg_load(p)         __atomic_load_n((p), __ATOMIC_ACQUIRE)
    #define fg_store(p, v)     __atomic_store_n((p), (v), __ATOMIC_RELEASE)
    #define fg_add(p, v)       __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST)
    #define fg_cas(p, old, v)  __atomic_compare_exchange_n((p), (old), (v), 0, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE)
    #define fg_swap(p, v)      __atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST)
    #define fg_fence_acquire() __atomic_thread_fence(__ATOMIC_ACQUIRE)
    #define fg_fence_release() __atomic_thread_fence(__ATOMIC_RELEASE)
    #define fg_fence_full()    __atomic_thread_fence(__ATOMIC_SEQ_CST)
    #define fg_likely(x)       __builtin_expect(!!(x), 1)
    #define fg_unlikely(x)     __builtin_expect(!!(x), 0)
    #define fg_prefetch(p)     __builtin_prefetch(p)
    static inline int64_t fg_clock(clockid_t id) {
        struct timespec t;
        clock_gettime(id, &t);
        return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    }
    """
    uint64_t load_u64 "fg_load"(const uint64_t* word) noexcept nogil
    int64_t load_i64 "fg_load"(const int64_t* word) noexcept nogil
    void store_u8 "fg_store"(uint8_t* byte, uint8_t value) noexcept nogil
    uint8_t swap_u8 "fg_swap"(uint8_t* byte, uint8_t value) noexcept nogil          # what it was
    void store_u64 "fg_store"(uint64_t* word, uint64_t value) noexcept nogil
    void store_i64 "fg_store"(int64_t* word, int64_t value) noexcept nogil
    uint64_t add_u64 "fg_add"(uint64_t* word, uint64_t value) noexcept nogil
    int64_t add_i64 "fg_add"(int64_t* word, int64_t value) noexcept nogil
    bint cas_u64 "fg_cas"(uint64_t* word, uint64_t* expected, uint64_t value) noexcept nogil
    bint cas_i64 "fg_cas"(int64_t* word, int64_t* expected, int64_t value) noexcept nogil
    void fence_acquire "fg_fence_acquire"() noexcept nogil      # earlier loads come before later ones
    void fence_release "fg_fence_release"() noexcept nogil      # earlier stores come before later ones
    void fence_full "fg_fence_full"() noexcept nogil            # earlier stores come before later loads too
    bint likely "fg_likely"(bint condition) noexcept nogil
    bint unlikely "fg_unlikely"(bint condition) noexcept nogil
    void prefetch "fg_prefetch"(const void* address) noexcept nogil
    int64_t clock_ns "fg_clock"(int clock) noexcept nogil
    int CLOCK_MONOTONIC
    int CLOCK_REALTIME

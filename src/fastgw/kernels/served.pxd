# Decides what is counted of the model that has served a call: calls and tokens, each worker's in words of its own.
from libc.stdint cimport int64_t, uint64_t

from fastgw.kernels.atomics cimport load_u64
from fastgw.kernels.layout cimport RECORD_ESTIMATED, layout_model, model_count_t, record_t, segment_t


cdef inline void served_count(const segment_t* s, int worker, const record_t* r) noexcept nogil:
    """Add the call of that record, which names a model, to what `worker` has counted."""
    cdef model_count_t* m = layout_model(s, worker, r.model)
    m.calls += 1
    m.estimated += r.flags & RECORD_ESTIMATED != 0
    m.tokens_in += r.tokens_in
    m.tokens_out += r.tokens_out
    m.tokens_cached += r.tokens_cached
    m.tokens_reasoning += r.tokens_reasoning


cdef inline void served_forgo(const segment_t* s, int worker, uint64_t model, int64_t nanos) noexcept nogil:
    """Count that calls of the model of that number have cost so much more than they could be charged."""
    layout_model(s, worker, model).spare[0] += nanos


cdef inline uint64_t served_forgone(const model_count_t* m) noexcept nogil:
    """How much that has come to, ever."""
    return load_u64(&m.spare[0])

# Decides what is counted of the model that has served a call: calls and tokens, each worker's in words of its own.
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

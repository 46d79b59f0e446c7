cpdef tier(object price, object input_tokens)

cpdef millionths(object price, object usage)

cpdef cost_nanos(object price, object usage)

from fastgw._http cimport ResponseHead


cpdef bytes request(bytes method, bytes base, str path, bytes host_line, bytes lines, bytes more, bint streams,
                    bytes kind, bint posts, bytes body)
cpdef bytes answer(bytes status_line, bytes kind, bytes lines, bytes gate_lines, bytes body, bint bare)
cpdef bytes opening(bytes status_line, bytes kind)
cpdef bytes cost_lines(long long cost, long long balance, long long tokens_in, long long tokens_out, bytes more)
cpdef bint is_spent(ResponseHead head) noexcept

"""What providers of models are asked, and callers told (types of the compiled module)."""

from fastgw._http import ResponseHead

def request(
    method: bytes,
    base: bytes,
    path: str,
    host_line: bytes,
    lines: bytes,
    more: bytes,
    streams: bool,
    kind: bytes,
    posts: bool,
    body: bytes,
) -> bytes: ...
def answer(status_line: bytes, kind: bytes, lines: bytes, gate_lines: bytes, body: bytes, bare: bool) -> bytes: ...
def opening(status_line: bytes, kind: bytes) -> bytes: ...
def cost_lines(cost: int, balance: int, tokens_in: int, tokens_out: int, more: bytes) -> bytes: ...
def is_spent(head: ResponseHead) -> bool: ...

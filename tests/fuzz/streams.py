"""Decides what streams of bytes are tried: requests that are nearly right, several in a row, cut anywhere."""

from __future__ import annotations

import random

METHODS = (
    b"GET", b"GET", b"POST", b"POST", b"PUT", b"HEAD", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT", b"PRI", b"get",
    b"G\xc9T", b"M-SEARCH", b"",
)  # fmt: skip
TARGETS = (
    b"/", b"/a", b"/a?b=c", b"//a", b"/a/../b", b"/%2e%2e/b", b"/a%00", b"*", b"a", b"http://a/b", b"HTTP://a",
    b"http://a?b", b"https://u@a/b", b"http:///a", b"ftp://a/b", b"/a b", b"/\x7f", b"/\xff", b"/a#b",
    b"http://a:80/b?c#d", b"a:443", b"",
)  # fmt: skip
VERSIONS = (
    b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.2", b"http/1.1",
    b"HTTP/1.1 ", b"HTTP/11", b"HTTP/1.", b"",
)  # fmt: skip
SPACES = (b" ", b" ", b" ", b" ", b" ", b" ", b"  ", b"\t", b"\x0b", b"")
LINE_ENDS = (b"\r\n",) * 12 + (b"\n", b"\r", b"\r\r\n", b"\n\r", b"\r\n ", b"\r\n\t", b"\0\r\n")
SEPARATORS = (b": ",) * 8 + (b":", b":\t ", b" : ", b" :", b":  ", b"", b"\0:", b":\x0b", b":\r\n ")
NAMES = (
    b"Host", b"Connection", b"Content-Length", b"Transfer-Encoding", b"Upgrade", b"Expect", b"Trailer", b"TE",
    b"X-A", b"", b"X A", b"X\xff", b"(a)", b"Keep-Alive", b"Proxy-Connection", b"Forwarded", b"X-Forwarded-For",
)  # fmt: skip
VALUES = {
    b"Host": (b"a", b"a", b"a", b"a", b"a:80", b"", b"a@b", b"a b", b"a,b", b"a/b", b"[::1]", b"a\x01"),
    b"Connection": (
        b"close", b"keep-alive", b"Upgrade", b"upgrade, close", b"x-a", b"content-length", b"transfer-encoding",
        b"close, close", b"host", b",,", b'"close"',
    ),
    b"Content-Length": (
        b"3", b"3", b"3", b"0", b"5", b"+3", b"-1", b"3,3", b"3, 3", b"3,5", b" 3", b"3 ", b"03", b"0x3", b"3_0",
        b"", b"99999999999999999999", b"18446744073709551619", b"3\t", b"3;", b"3\x0b",
    ),
    b"Transfer-Encoding": (
        b"chunked", b"chunked", b"chunked", b"Chunked", b"gzip, chunked", b"chunked, chunked", b"identity",
        b"chunked, identity", b"gzip", b"chunked;a=b", b" chunked", b"chunked ", b"\x0bchunked", b"xchunked", b"",
        b"chunked,", b'"chunked"',
    ),
    b"Upgrade": (b"websocket", b"h2c", b"x"),
    b"Expect": (b"100-continue", b"100-Continue", b"x"),
}  # fmt: skip
PLAIN_VALUES = (
    b"b", b"b", b"b c", b"b\xff", b"", b"b\0c", b"b\rc", b"b\x7f", b"\t b \t", b"b\x01", b"b:c", b"b\x85", b"\x1c",
)  # fmt: skip
CHUNKS = (
    b"3\r\nabc\r\n", b"3\r\nabc\r\n", b"a\r\n0123456789\r\n", b"003\r\nabc\r\n", b"3;a=b\r\nabc\r\n",
    b"3 \r\nabc\r\n", b'3;a="\r\n"\r\nabc\r\n', b"3\nabc\r\n", b"3\r\nabcd\r\n", b"3\r\nabc\n", b"3\r\nabc",
    b"0x3\r\nabc\r\n", b"-3\r\nabc\r\n", b"+3\r\nabc\r\n", b"3\r\n\r\nabc\r\n", b" 3\r\nabc\r\n", b"\r\nabc\r\n",
    b"3;\0\r\nabc\r\n", b"3\t;x\r\nabc\r\n", b"g\r\n", b"fffffffffffffffff\r\nabc\r\n",
    b"10000000000000003\r\nabc\r\n", b"3;a\rb\r\nabc\r\n", b"3;a\nb\r\nabc\r\n", b"3\r\rabc\r\n",
)  # fmt: skip
LAST_CHUNKS = (
    b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\n\r\n", b"000\r\n\r\n", b"0;a\r\n\r\n", b"0\r\nX-T: a\r\n\r\n",
    b"0\r\nContent-Length: 9\r\n\r\n", b"0\r\nHost: b\r\n\r\n", b"0\r\n X: a\r\n\r\n", b"0\r\nX-T a\r\n\r\n",
    b"0\n\n", b"0\r\n\n", b"0\r\nX: a\nY: b\r\n\r\n", b"0\r\n", b"0\r\nX: a\r\n b\r\n\r\n", b"0\r\nX:\0\r\n\r\n",
    b"0\r\n:\r\n\r\n", b"0\r\nX\r\n\r\n", b"", b"00000000000000000000\r\n\r\n",
)  # fmt: skip
BREAKS = (
    b"", b"\r", b"\n", b"\r\n", b"\0", b" ", b"\t", b"\x0b", b"\xff", b":", b";", b",", b"0", b"\r\n\r\n", b"\x80",
    b"\x7f", b"\x1f",
)  # fmt: skip


class Maker:
    """Streams out of a source of chance."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def stream(self) -> list[bytes]:
        """One to four requests, nearly right, in pieces."""
        data = b"".join(self._request() for _ in range(self.chance.choice((1, 1, 2, 2, 3, 4))))
        for _ in range(self.chance.choice((0, 0, 0, 0, 0, 1, 2))):
            at = self.chance.randrange(len(data) + 1)
            data = data[:at] + self.chance.choice(BREAKS) + data[at + self.chance.choice((0, 0, 1, 2)) :]
        return self.pieces(data)

    def pieces(self, data: bytes) -> list[bytes]:
        """The same bytes, whole, one by one, or cut at a few places."""
        match self.chance.randrange(4):
            case 0:
                return [data]
            case 1 if len(data) < 300:
                return [data[i : i + 1] for i in range(len(data))]
            case _:
                cuts = sorted(self.chance.randrange(len(data) + 1) for _ in range(self.chance.randrange(1, 5)))
                return [
                    data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True) if start < end
                ]

    def _often(self, what: tuple[bytes, ...], right: bytes, times: int = 4) -> bytes:
        """What is right, or, once in so many times, anything."""
        return right if self.chance.randrange(times) else self.chance.choice(what)

    def _request(self) -> bytes:
        pick = self.chance.choice
        lines = b"".join((
            self._often((b"\r\n", b"\n", b"\r\n\r\n", b"\r", b" "), b"", 12),
            self._often(METHODS, pick(METHODS[:8]), 10), self._often(SPACES, b" ", 50), self._often(TARGETS, b"/a", 5),
            self._often(SPACES, b" ", 50), self._often(VERSIONS, pick(VERSIONS[:4]), 20),
            self._often(LINE_ENDS, b"\r\n", 50),
        ))  # fmt: skip
        fields = [self._field(b"Host", 20)] if self.chance.randrange(30) else []
        body = b""
        match self.chance.randrange(6):
            case 0 | 1:
                fields.append(self._field(b"Content-Length", 3))
                body = pick((b"abc", b"abc", b"", b"ab", b"abcde"))
            case 2 | 3:
                fields.append(self._field(b"Transfer-Encoding", 3))
                body = self._chunks()
        while not self.chance.randrange(2):
            fields.append(self._field(self.chance.choice(NAMES), 1))
        self.chance.shuffle(fields)
        return lines + b"".join(fields) + self._often(LINE_ENDS, b"\r\n", 50) + body

    def _field(self, name: bytes, times: int) -> bytes:
        values = VALUES.get(name, PLAIN_VALUES)
        return b"".join((
            name if self.chance.randrange(8) else name.swapcase(), self._often(SEPARATORS, b": ", 30),
            self._often(values, values[0], times), self._often(LINE_ENDS, b"\r\n", 50),
        ))  # fmt: skip

    def _chunks(self) -> bytes:
        many = self.chance.randrange(3)
        body = b"".join(self._often(CHUNKS, CHUNKS[0], 2) for _ in range(many))
        return body + self._often(LAST_CHUNKS, LAST_CHUNKS[0], 2)

"""What fuzzing has found, each with what was wrong; in the pieces in which it was found, or smaller."""

FINDINGS: dict[str, list[bytes]] = {
    "an absolute form with a fragment was taken, and forwarded without it": [
        b"POST http://a:80/bc?#d HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc\r\n",
    ],
    "an absolute form with an empty query was forwarded without its question mark": [
        b"GET http://a/b? HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
    "trailers that speak of framing: dropped here, judged by h11 before it was told not to": [
        b"PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"3\r\nabc\r\n0\r\nTransfer-Encoding: gzip\r\nContent-Length: 3, 5\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
}

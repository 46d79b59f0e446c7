"""Decides what a client does that never comes back: connect, shake hands in full, ask once, read the answer, leave.

python handshakes.py PORT REQUEST SECONDS

No session is resumed. Several threads, so that the server never waits for one; what they saw is printed as JSON.
"""

import collections
import json
import socket
import ssl
import sys
import threading
import time
from pathlib import Path

THREADS = 8


def insecure() -> ssl.SSLContext:
    """Of a client that takes any certificate: what checking one costs is not the server's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _ask(context: ssl.SSLContext, port: int, request: bytes) -> str:
    """The status of one answer."""
    with context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=10)) as stream:
        if stream.session_reused:
            raise RuntimeError("the session was resumed")
        stream.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            more = stream.recv(65536)
            if not more:
                raise ConnectionError("no answer")
            answer += more
        return answer[9:12].decode()


def _keep_asking(port: int, request: bytes, until: float, statuses: collections.Counter[str]) -> None:
    context = insecure()
    while time.monotonic() < until:
        try:
            statuses[_ask(context, port, request)] += 1
        except OSError:
            statuses["broken"] += 1


def main(argv: list[str]) -> int:
    port, request, seconds = int(argv[0]), Path(argv[1]).read_bytes(), float(argv[2])
    seen: list[collections.Counter[str]] = [collections.Counter() for _ in range(THREADS)]
    began = time.monotonic()
    threads = [
        threading.Thread(target=_keep_asking, args=(port, request, began + seconds, statuses)) for statuses in seen
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statuses = sum(seen, collections.Counter())
    broken = statuses.pop("broken", 0)
    print(json.dumps({"statuses": statuses, "broken": broken, "seconds": time.monotonic() - began}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

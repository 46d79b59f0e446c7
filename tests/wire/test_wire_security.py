"""What nobody may write into the journal, and what nobody may read out of memory and files."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from .configs import IDENTITY, KEY
from .framing import request
from .rig import ACCOUNT, ADDRESS, KEY_NUMBER, PATH, PATH_LENGTH, RECORD_BYTES, STATUS, Gateway, eventually

KEYS = [KEY, "sk-wire-rich-0002", "sk-wire-poor-0001", "sk-wire-revoked-1", "sk-wire-expired-1"]
LOOPBACK = b"\0" * 10 + b"\xff\xff\x7f\0\0\1"


def test_a_request_is_one_record_whatever_is_in_it(gateway: Gateway) -> None:
    forged = [
        b"GET /v1/a%0d%0aGET%20/v1/forged HTTP/1.1\r\n" + IDENTITY + b"\r\n",
        b"GET /v1/" + b"%1b[2J%00" * 40 + b" HTTP/1.1\r\n" + IDENTITY + b"\r\n",
        request(b"GET /v1/x HTTP/1.1", b'User-Agent: a\tb\xff\xfe{"x":1}'),
        request(b"GET /v1/\rx HTTP/1.1"),
        request(b"GET /v1/\nx HTTP/1.1"),
        request(b"GET /v1/\x1b[31m HTTP/1.1"),
        request(b"GET /v1/\0 HTTP/1.1"),
        request(b"GET /v1/x HTTP/1.1", b"User-Agent: \x1b]0;x\x07"),
        b"GET /v1/x HTTP/1.1\r\nHost: wire\r\nx-api-key: a\0b\r\n\r\n",
        b"GET /v1/x HTTP/1.1\r\nHost: wire\r\nx-api-key: a\rb\r\n\r\n",
        b"\x16\x03\x01\0\n\r\n\r\n",
    ]
    for data in forged:
        first = gateway.records_written()
        with gateway.connect() as client:
            client.send(data)
            status = client.read().status
            client.half_close()
            assert client.is_ended()
        assert eventually(lambda first=first: gateway.records_written() > first)  # type: ignore[misc]
        [record] = gateway.records(first)
        assert len(record) == RECORD_BYTES
        assert int.from_bytes(record[STATUS], "little") == status
        assert record[ADDRESS] == LOOPBACK
        assert all(byte == 0 or 32 < byte < 127 for byte in record[PATH].partition(b"\0")[0])


def test_a_refused_request_is_recorded_with_nothing_of_the_one_before(gateway: Gateway) -> None:
    first = gateway.records_written()
    with gateway.connect() as client:
        client.send(request(b"GET /v1/the-one-before HTTP/1.1"))
        assert client.read().status == 200
        client.send(b"GET /v1/x HTTP/1.1\r\n\r\n")
        assert client.read().status == 400
    assert eventually(lambda: gateway.records_written() == first + 2)
    _, record = gateway.records(first)
    assert (record[ACCOUNT], record[KEY_NUMBER]) == (bytes(4), bytes(4))
    assert record[PATH_LENGTH] == bytes(2)


def test_neither_memory_nor_files_hold_a_key(gateway: Gateway) -> None:
    for key in KEYS:
        with gateway.connect() as client:
            client.send(f"GET /v1/x HTTP/1.1\r\nHost: wire\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
            client.read()
    files = [path for root in (gateway.state, gateway.memory) for path in root.rglob("*") if path.is_file()]
    assert any(path.parent == gateway.memory for path in files)
    for path in (*files, gateway.errors):
        with suppress(FileNotFoundError):  # of a spool that has just become a part of the log
            content = sparse(path)
            for key in KEYS:
                assert key.encode() not in content, f"{path} holds {key}"
            assert path == gateway.errors or path.stat().st_mode & 0o077 == 0, f"{path} can be read by others"


def sparse(path: Path) -> bytes:
    """What a file holds, without its holes."""
    parts, end = [], path.stat().st_size
    with path.open("rb") as file:
        at = 0
        while at < end:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            hole = os.lseek(file.fileno(), at, os.SEEK_HOLE)
            parts.append(os.pread(file.fileno(), hole - at, at))
            at = hole
    return b"".join(parts)


def test_no_key_is_said_on_stderr_or_in_a_process_s_arguments(gateway: Gateway) -> None:
    for pid in (gateway.process.pid, gateway.worker_pid):
        shown = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        assert not any(key.encode() in shown for key in KEYS)


def test_the_admin_address_s_paths_are_not_on_the_data_port(gateway: Gateway) -> None:
    for path in (b"/metrics", b"/livez", b"/readyz"):
        with gateway.connect() as client:
            client.send(request(b"GET " + path + b" HTTP/1.1"))
            assert client.read().status == 404

"""A tag is made at its first use, for calls that wait for it and nobody else; its budget binds every worker."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest
from gateway import Gateway, account, eventually, key, table

pytestmark = pytest.mark.slow  # whole gateways, one a test


def call(gateway: Gateway, tag: str) -> tuple[int, str]:
    """(status, body) of a call that names the tag."""
    asked = urllib.request.Request(
        f"http://127.0.0.1:{gateway.port}/v1/x", headers={"Authorization": "Bearer sk-acme-0001", "X-Fastgw-Tag": tag}
    )
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def fastgw(gateway: Gateway, *arguments: str) -> str:
    where = ["--admin", gateway.admin_url, "--state-dir", str(gateway.state_dir)]
    done = subprocess.run(
        [sys.executable, "-m", "fastgw", *arguments, *where], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_tag_is_made_at_its_first_use_and_its_budget_binds_every_worker(gateway: Gateway) -> None:
    owner = account(balance="1", tag_budget="0.005", tag_budget_period="day", tags_max=3)
    gateway.write(owner, key(), table("tags", account="acme", name="nightly"), price="0.001")
    gateway.start()
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(call(gateway, "run-1")[0])) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(set(statuses)) == [200, 402]
    eventually(lambda: "tag_budget_exhausted" in call(gateway, "run-1")[1], what="five calls were not served")
    assert call(gateway, "nightly")[0] == 200
    assert call(gateway, "run-2")[0] == 200
    took = []
    for _ in range(3):
        began = time.monotonic()
        status, body = call(gateway, "run-3")
        assert (status, '"code":"unknown_tag"' in body) == (400, True)
        took.append(time.monotonic() - began)
    assert min(took) < 0.9, "it waits for a tag that will not be"
    assert gateway.call() == 200
    listed = fastgw(gateway, "tag", "list", "acme")
    assert [line.split()[0] for line in listed.splitlines()[1:] if line.strip()] == ["nightly", "run-1", "run-2"]
    eventually(lambda: "run-1" in fastgw(gateway, "usage", "--by", "tag,code"), what="usage knows no tag")
    fastgw(gateway, "tag", "remove", "acme", "run-2")
    assert call(gateway, "run-2")[0] == 400


def test_without_a_keeper_a_new_tag_is_refused_in_time_and_others_go_on(gateway: Gateway) -> None:
    gateway.write(account(balance="1", tag_budget="1"), key(), price="0.001")
    gateway.start(workers=1)
    assert call(gateway, "run-1")[0] == 200
    keeper = gateway.children()["keeper"]
    os.kill(keeper, signal.SIGSTOP)
    try:
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=5) as client:
            head = "GET /v1/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk-acme-0001\r\n"
            client.sendall(f"{head}X-Fastgw-Tag: run-2\r\n\r\n{head}\r\n".encode())  # and one behind it
            assert call(gateway, "run-1")[0] == 200
            began, said = time.monotonic(), b""
            while b"200 OK" not in said and time.monotonic() < began + 4:
                said += client.recv(4096)
        assert said.startswith(b"HTTP/1.1 503 ")
        assert b'"code":"ledger_unavailable"' in said
        assert b"HTTP/1.1 200 OK" in said
        assert time.monotonic() - began > 0.5
    finally:
        os.kill(keeper, signal.SIGCONT)
    eventually(lambda: call(gateway, "run-2")[0] == 200)

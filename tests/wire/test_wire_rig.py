"""What the other files stand on: the data plane that is meant is the one that runs, and a call goes all the way."""

from pathlib import Path

from .client import Client
from .configs import IDENTITY, PRICE
from .oracle import Oracle
from .rig import Gateway


def test_the_worker_runs_the_data_plane_that_the_test_is_named_after(gateway: Gateway, mode: str) -> None:
    mapped = Path(f"/proc/{gateway.worker_pid}/maps").read_text()
    assert ("/dataplane/connection." in mapped) == (mode == "compiled")
    assert "/fastgw/_core." in mapped


def test_a_call_is_forwarded_answered_and_charged(gateway: Gateway, client: Client, oracle: Oracle) -> None:
    before = gateway.captured("rich")
    client.send(b"POST /v1/first HTTP/1.1\r\n" + IDENTITY + b"Content-Length: 5\r\n\r\nhello")
    answer = client.read()
    assert (answer.status, answer.body) == (200, b"hello")
    [arrival] = oracle.wait_for("first")
    assert (arrival.method, arrival.target, arrival.body) == ("POST", "/v1/first", b"hello")
    assert gateway.captured("rich") == before + PRICE

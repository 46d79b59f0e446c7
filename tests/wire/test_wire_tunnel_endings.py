"""A gateway that is told to end lets its tunnels go on for the drain timeout, and then says goodbye."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from .rig import Gateway
from .tunnelling import EchoService

pytestmark = pytest.mark.slow


def test_tunnels_have_the_drain_timeout_and_a_close_frame(tmp_path: Path, package_path: Path | None) -> None:
    service = EchoService()
    gateway = Gateway(
        '[server]\ndrain_timeout = "1s"\n[[upstreams]]\nname = "service"\n'
        f'targets = ["http://127.0.0.1:{service.port}"]\n'
        '[[routes]]\nname = "free"\npath = "/"\nupstream = "service"\n'
        '[[accounts]]\nname = "rich"\n[[keys]]\naccount = "rich"\nkey = "sk-wire-rich-0001"\n',
        tmp_path, package_path,
    )  # fmt: skip
    try:
        url = f"ws://127.0.0.1:{gateway.port}/x"
        with connect(url, additional_headers={"Authorization": "Bearer sk-wire-rich-0001"}) as ws:
            start = time.monotonic()
            gateway.process.send_signal(signal.SIGTERM)
            while time.monotonic() - start < 0.7:
                ws.send("still here")
                assert ws.recv() == "still here"
                time.sleep(0.05)
            with pytest.raises(ConnectionClosed):
                ws.recv(3)
            assert ws.close_code == 1001
            assert 0.9 < time.monotonic() - start < 3
        assert gateway.process.wait(10) == 0
    finally:
        gateway.stop()
        service.close()

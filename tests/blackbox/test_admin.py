"""What the admin address says, and that the data port says none of it."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Upstream
from gateway import Gateway, account, alive, eventually, get, key
from prometheus_client.parser import text_string_to_metric_families

from fastgw import __version__

pytestmark = pytest.mark.slow  # whole gateways, one a test


@pytest.fixture
def serving(gateway: Gateway) -> Gateway:
    """Two workers; four calls that are served, one refused for want of a key, one for want of money, one lost."""
    gateway.write(account(balance="0.004"), key(), price="0.001")
    gateway.start()
    assert [gateway.call() for _ in range(5)] == [200] * 4 + [402]
    assert gateway.call(None) == 401
    assert gateway.call(target="/nowhere") == 404
    return gateway


def samples(gateway: Gateway) -> dict[str, dict[tuple[str, ...], float]]:
    """Value by the labels' values, by the sample's name; the labels of every sample of one name are the same."""
    status, text = get(f"{gateway.admin_url}/metrics")
    assert status == 200
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation, family.name
        assert family.name.startswith("fastgw_")
        for sample in family.samples:
            labels = tuple(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def test_metrics_parse_and_count_what_happened(serving: Gateway) -> None:
    found = samples(serving)
    assert found["fastgw_build_info"] == {(f"version={__version__}",): 1}
    assert found["fastgw_requests_total"] == {
        ("route=", "verdict=no_route"): 1,
        ("route=api", "verdict=admitted"): 4,
        ("route=api", "verdict=insufficient_balance"): 1,
        ("route=api", "verdict=missing_key"): 1,
    }
    assert found["fastgw_upstream_responses_total"] == {("class=2xx", "route=api"): 4}
    assert found["fastgw_workers"] == {
        ("state=absent",): 0, ("state=starting",): 0, ("state=ready",): 2, ("state=draining",): 0,
    }  # fmt: skip
    assert found["fastgw_keys"] == {(): 1}
    assert found["fastgw_accounts"] == {(): 1}
    assert found["fastgw_calls_in_flight"] == found["fastgw_held_nanos"] == {(): 0}
    assert set(found["fastgw_connections"]) == {("side=client",), ("side=upstream",)}
    assert sum(found["fastgw_connections_accepted_total"].values()) == 7
    assert set(found["fastgw_worker_cpu_seconds_total"]) == {("worker=0",), ("worker=1",)}
    assert found["fastgw_segment_used_bytes"][()] > 0


def test_latency_is_a_histogram_of_growing_buckets(serving: Gateway) -> None:
    found = samples(serving)
    for stage, calls in (("decide", 7), ("first_byte", 4), ("total", 4)):
        name = "fastgw_request_duration_seconds"
        counts = [
            (float(bound.removeprefix("le=")), count)
            for (bound, of), count in found[f"{name}_bucket"].items()
            if of == f"stage={stage}"
        ]
        assert counts == sorted(counts)
        assert [count for _, count in counts] == sorted(count for _, count in counts)
        assert counts[-1] == (float("inf"), calls)
        assert found[f"{name}_count"][(f"stage={stage}",)] == calls
        assert 0 < found[f"{name}_sum"][(f"stage={stage}",)] < 10


def test_metrics_come_as_openmetrics_to_whom_asks_for_it(serving: Gateway) -> None:
    done = subprocess.run(
        ["curl", "-sS", "-i", "-H", "Accept: application/openmetrics-text; version=1.0.0",
         f"{serving.admin_url}/metrics"],
        capture_output=True, text=True, check=True, timeout=10,
    )  # fmt: skip
    assert "content-type: application/openmetrics-text" in done.stdout.lower()
    assert done.stdout.endswith("# EOF\n")


def test_alive_and_ready_while_workers_serve(serving: Gateway) -> None:
    assert get(f"{serving.admin_url}/livez") == (200, "ok\n")
    assert get(f"{serving.admin_url}/readyz") == (200, "ok\n")
    assert get(f"{serving.admin_url}/v1/accounts")[0] == 401, "everything else needs the token"


def test_none_of_it_is_served_on_the_data_port(serving: Gateway, upstream: Upstream) -> None:
    before = upstream.calls
    for path in ("/livez", "/readyz", "/metrics", "/v1/../metrics"):
        status, text = get(serving.url + path, "sk-acme-0001")
        assert status in (400, 404), path
        assert "fastgw_" not in text
    assert upstream.calls == before


def test_unready_while_a_worker_is_missing_and_ready_when_it_is_back(serving: Gateway) -> None:
    victim = serving.children()["worker 1"]
    os.kill(victim, signal.SIGSTOP)  # it cannot be ready before it is replaced
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: serving.children().get("worker 1", victim) != victim)
    eventually(serving.ready)
    assert samples(serving)["fastgw_workers"][("state=ready",)] == 2


def test_no_admin_address_when_it_is_off(gateway: Gateway) -> None:
    gateway.write(account(), key())
    gateway.start("--admin", "off")
    assert gateway.call() == 200
    keeper = gateway.children()["keeper"]
    sockets = [link for fd in Path(f"/proc/{keeper}/fd").iterdir() if (link := os.readlink(fd)).startswith("socket:")]
    with open("/proc/net/tcp") as file:
        ports = {f"socket:[{row.split()[9]}]" for row in file}
    assert len(sockets) == 3, "the one to the supervisor, and the two ends that wake the loop of the resolver"
    assert not set(sockets) & ports


def test_an_admin_address_that_is_taken_is_refused_naming_the_holder(gateway: Gateway) -> None:
    gateway.write(account(), key())
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", gateway.admin_port))
        holder.listen()
        gateway.launch("-c", str(gateway.file))
        assert gateway.wait() == 2
    assert f"cannot serve the admin address 127.0.0.1:{gateway.admin_port}: in use by process {os.getpid()}" in (
        gateway.log()
    )
    assert "Traceback" not in gateway.log()


def test_a_client_that_asks_for_nothing_does_not_keep_others_from_the_admin_address(serving: Gateway) -> None:
    silent = [socket.create_connection(("127.0.0.1", serving.admin_port)) for _ in range(50)]
    assert get(f"{serving.admin_url}/livez", timeout_s=2)[0] == 200
    for client in silent:
        client.close()
    assert get(f"{serving.admin_url}/livez", timeout_s=2)[0] == 200
    assert "Traceback" not in serving.log()


def test_children_hold_no_descriptor_that_is_not_theirs(gateway: Gateway, tmp_path: Path) -> None:
    """Whatever the caller left open stays with the supervisor, and a worker has one listening socket only.

    A process looks at its own memory, and at the table of targets, as long as it lives.
    """
    stray = tmp_path / "stray"
    stray.touch()
    code = (
        f"import os, sys; d = os.open({str(stray)!r}, os.O_RDONLY); os.set_inheritable(d, True); "
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    gateway.write(account(), key())
    gateway.start(workers=3, prefix=[sys.executable, "-c", code])
    assert gateway.call() == 200
    with open("/proc/net/tcp") as file:
        port = f":{gateway.port:04X}"
        listening = {f"socket:[{row.split()[9]}]" for row in file if row.split()[1].endswith(port) and " 0A " in row}
    assert len(listening) == 3
    for name, pid in gateway.children().items():
        assert alive(pid)
        links = [os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()]
        assert str(stray) not in links
        assert len([link for link in links if link in listening]) == (name != "keeper")
        named = {link for link in links if link.startswith("/") and link != "/dev/null" and "/calls/" not in link}
        named = {link for link in named if ".targets-" not in link and link != f"/proc/{pid}/statm"}
        ledger = {str(gateway.state_dir / name) for name in ("ledger.sqlite", "ledger.sqlite-wal")}
        assert named == {
            str(gateway.directory / "stderr"), str(gateway.state_dir / "lock"),
            *({*ledger, "/memfd:fastgw-config (deleted)"} if name == "keeper" else ()),
        }  # fmt: skip

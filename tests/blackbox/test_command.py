"""The installed command: how it is told what to serve, what it refuses, and what it teaches."""

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Upstream
from gateway import Gateway, account, clean_environment, get, key, run
from ports import free_port

import fastgw
from fastgw import __version__


def test_flags_alone_serve(gateway: Gateway, upstream: Upstream) -> None:
    gateway.start(
        "--upstream", upstream.url, "--key", "sk-acme-0001", "--price", "0.001", "--balance", "0.002",
        "--rate", "100/s", "--burst", "5",
    )  # fmt: skip
    assert [gateway.call() for _ in range(3)] == [200, 200, 402]
    assert gateway.call("sk-acme-0002") == 401
    assert upstream.calls == 2
    assert gateway.stop() == 0


def test_the_environment_alone_serves(gateway: Gateway, upstream: Upstream) -> None:
    env = {
        "FASTGW_UPSTREAM": upstream.url, "FASTGW_KEY": "sk-acme-0001,sk-acme-0002", "FASTGW_RATE": "2/h",
        "FASTGW_LISTEN": f"127.0.0.1:{gateway.port}", "FASTGW_ADMIN": "off", "FASTGW_WORKERS": "1",
        "FASTGW_STATE_DIR": str(gateway.state_dir), "FASTGW_SEGMENT_DIR": str(gateway.segment_dir),
    }  # fmt: skip
    gateway.start(env=env, bare=True)
    assert f"serving on {gateway.url} with 1 worker\n" in gateway.log()
    assert [gateway.call(k) for k in ("sk-acme-0001", "sk-acme-0001", "sk-acme-0001", "sk-acme-0002")] == [
        200, 200, 429, 200,
    ]  # fmt: skip
    assert gateway.stop() == 0


def test_a_file_serves_and_check_finds_it_right(gateway: Gateway, upstream: Upstream) -> None:
    gateway.write(account(balance="1"), key(), price="0.25")
    done = run("check", "-c", str(gateway.file))
    assert (done.returncode, done.stdout) == (0, "OK: 1 upstream, 1 route, 1 account, 1 key\n")
    gateway.start()
    assert [gateway.call() for _ in range(5)] == [200] * 4 + [402]
    assert gateway.call(target="/v2/calls") == 404
    assert upstream.calls == 4


def test_check_binds_no_port_and_makes_no_file(tmp_path: Path) -> None:
    port = free_port()
    state = tmp_path / "state"
    file = tmp_path / "fastgw.toml"
    file.write_text(
        f'[server]\nlisten = "127.0.0.1:{port}"\nadmin = "off"\nstate_dir = "{state}"\n'
        '[[upstreams]]\nname = "u"\ntargets = ["http://127.0.0.1:9001"]\n'
        '[[routes]]\nname = "r"\npath = "/"\nupstream = "u"\n'
    )
    with socket.socket() as holder:  # what binds the port would fail
        holder.bind(("127.0.0.1", port))
        holder.listen()
        assert run("check", "-c", str(file)).returncode == 0
    assert not state.exists()
    assert sorted(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "0"], "--workers: server.workers = 0: must be an integer from 1 to 64"),
        (["--price", "-1", "--balance", "1"], "--price"),
        (["--rate", "fast"], "--rate"),
        (["--upstream", "ftp://example"], "--upstream"),
        (["--drain-timeout", "2 fortnights"], "--drain-timeout"),
        (["--wrokers", "2"], "--wrokers"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_starts(
    gateway: Gateway, upstream: Upstream, arguments: list[str], message: str
) -> None:
    done = run("serve", *gateway.flags(), "--upstream", upstream.url, "--key", "sk-acme-0001", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("fastgw: error: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not gateway.state_dir.exists()
    assert list(gateway.segment_dir.iterdir()) == []


def test_a_wrong_file_is_refused_with_every_line_that_is_wrong(gateway: Gateway) -> None:
    gateway.write(account(balance="-1"), key(account="nobody"), server={"workers": 0})
    for command, code in (("serve", 2), ("check", 1)):
        done = run(command, "-c", str(gateway.file))
        assert done.returncode == code
        lines = done.stderr.splitlines()
        assert {int(line.split(":")[3]) for line in lines} == {2, 16, 19}, done.stderr
        assert all(line.startswith(f"fastgw: error: {gateway.file}:") for line in lines)


def test_a_state_directory_that_cannot_be_made_is_an_error_and_no_traceback(
    gateway: Gateway, upstream: Upstream
) -> None:
    (gateway.directory / "state").write_text("a file where a directory is to be")
    done = run("serve", *gateway.flags(), "--upstream", upstream.url, "--no-auth")
    assert done.returncode == 2
    assert str(gateway.state_dir) in done.stderr
    assert "Traceback" not in done.stderr


def test_help_teaches(tmp_path: Path) -> None:
    top = run("--help", cwd=tmp_path)
    assert top.returncode == 0
    for command in ("serve", "check", "demo"):
        assert re.search(rf"^  {command}  +\S", top.stdout, re.MULTILINE)
    serve = run("serve", "--help", cwd=tmp_path)
    text = " ".join(serve.stdout.split())
    for part in (
        "--listen ADDRESS", "--workers N", "--upstream URL", "--price AMOUNT", "--rate N/UNIT", "--burst N",
        "--drain-timeout DURATION", "[default: 2m;", "FASTGW_", "Examples:",
    ):  # fmt: skip
        assert part in text, part
    assert run("--version").stdout == f"fastgw {__version__}\n"


def test_the_module_is_the_command_too() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fastgw", "--version"], capture_output=True, text=True, check=True, timeout=20
    )
    assert done.stdout == f"fastgw {__version__}\n"


def test_a_folder_named_fastgw_where_it_is_started_is_not_taken_for_the_package(gateway: Gateway) -> None:
    """Children are started with `python -m`, which looks into the current directory first unless told not to."""
    trap = gateway.directory / "fastgw"
    trap.mkdir()
    for name in ("__init__.py", "keeper.py", "worker.py", "supervisor.py"):
        (trap / name).write_text("raise SystemExit('this is somebody else')\n")
    gateway.write(account(), key())
    gateway.start(cwd=gateway.directory)
    assert gateway.call() == 200


def test_a_package_that_is_only_on_the_path_of_python_is_the_one_that_children_import(
    gateway: Gateway, upstream: Upstream
) -> None:
    """`python -m fastgw` in the directory that holds the package, with nothing installed."""
    root = Path(fastgw.__file__).parent.parent
    gateway.write(account(), key())
    process = subprocess.Popen(
        [sys.executable, "-m", "fastgw", "serve", *gateway.flags(), "-c", str(gateway.file), "--workers", "1"],
        cwd=root, env=clean_environment(), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        assert " serving on " in process.stderr.readline()
        assert gateway.call() == 200
    finally:
        process.terminate()
        process.wait(10)
    assert get(f"{upstream.url}/-/count") == (200, "1")

"""What a new user does wrong at the start is said in one line that says what to do, and nothing is left behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from gateway import COMMAND, Gateway, account, clean_environment, key

WITHOUT = "-net_bind_service,-dac_override,-dac_read_search"
AS_ROOT = pytest.mark.skipif(os.getuid() != 0, reason="a root without capabilities stands for a user")


def refused(gateway: Gateway, *arguments: str, prefix: tuple[str, ...] = ()) -> str:
    """What `fastgw serve` says that cannot start: one line."""
    gateway.write(account(), key())
    done = subprocess.run(
        [*prefix, COMMAND, "serve", "-c", str(gateway.file), *gateway.flags(), *arguments],
        env=clean_environment(), cwd=gateway.directory, capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert list(gateway.segment_dir.iterdir()) == []
    [line] = done.stderr.splitlines()
    assert line.startswith("fastgw: error: ")
    return line.removeprefix("fastgw: error: ")


@AS_ROOT
def test_a_port_that_needs_a_capability(gateway: Gateway) -> None:
    said = refused(gateway, "--listen", "127.0.0.1:80", prefix=("setpriv", "--bounding-set", WITHOUT))
    assert said == (
        "cannot listen on 127.0.0.1:80: Permission denied; a port below 1024 needs the capability "
        "CAP_NET_BIND_SERVICE, a socket of systemd, or the setting net.ipv4.ip_unprivileged_port_start=80"
    )


def test_an_address_that_this_machine_does_not_have(gateway: Gateway) -> None:
    said = refused(gateway, "--listen", "192.0.2.1:8080")
    assert said.startswith("cannot listen on 192.0.2.1:8080: Cannot assign requested address; this machine has no such")


@AS_ROOT
def test_a_state_directory_of_somebody_else(gateway: Gateway) -> None:
    place = gateway.directory / "foreign"
    place.mkdir(mode=0o700)
    os.chown(place, 65534, 65534)
    for state_dir in (place, place / "state"):
        said = refused(gateway, "--state-dir", str(state_dir), prefix=("setpriv", "--bounding-set", WITHOUT))
        assert said == (
            f"the state directory {state_dir} cannot be used (Permission denied): it must be a folder that user 0 can "
            "write; make it one, or choose another --state-dir"
        )


def test_a_state_directory_that_is_a_file(gateway: Gateway) -> None:
    said = refused(gateway, "--state-dir", str(gateway.file))
    assert said.startswith(f"the state directory {gateway.file} cannot be used (File exists): ")


def test_a_segment_directory_that_is_not_there(gateway: Gateway) -> None:
    said = refused(gateway, "--segment-dir", str(gateway.directory / "nowhere"))
    assert said.startswith(f"cannot make the segment {gateway.directory / 'nowhere'}/")
    assert said.endswith(": No such file or directory; see --segment-dir")


@pytest.mark.slow
def test_a_low_limit_of_open_files_is_said(gateway: Gateway) -> None:
    gateway.write(account(), key())
    gateway.start(workers=1, prefix=["prlimit", "--nofile=200:200"])
    assert (
        "fastgw: warning: a worker takes 84 client connections, not connections_max = 20000: the limit of open files "
        "is 200; raise it (ulimit -Hn, LimitNOFILE= of systemd) or lower connections_max\n"
    ) in gateway.log()
    assert gateway.call() == 200


def test_a_machine_without_a_compiler_is_told_which_package_has_one() -> None:
    setup = Path(__file__).parents[2] / "setup.py"
    done = subprocess.run(
        [sys.executable, setup, "--version"], cwd=setup.parent, env=clean_environment({"CC": "no-such-cc"}),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "no C compiler: no-such-cc.\nOn Debian and Ubuntu: apt-get install gcc" in done.stderr

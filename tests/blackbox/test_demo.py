"""`fastgw demo`: what its curl lines promise is true, and Ctrl-C leaves nothing behind."""

import re
import shlex
import signal
import subprocess
from pathlib import Path

from gateway import COMMAND, clean_environment, connects, eventually
from ports import free_port


def test_every_line_of_the_demo_is_true_and_nothing_stays_behind(tmp_path: Path) -> None:
    port = free_port()
    shown = tmp_path / "shown"
    with shown.open("w") as output:
        demo = subprocess.Popen(
            [COMMAND, "demo", "--listen", f"127.0.0.1:{port}"],
            stdout=output, stderr=subprocess.STDOUT, env=clean_environment(), cwd=tmp_path,
        )  # fmt: skip
    try:
        eventually(lambda: "Ctrl-C" in shown.read_text(), 20, "the demo did not start")
        directory = Path(re.findall(r"configuration: (\S+)", shown.read_text())[0]).parent
        assert directory.is_dir()
        promised = re.findall(r"# (\d+): .*\n\s+(curl .*)", shown.read_text())
        assert [status for status, _ in promised] == ["200", "402", "429", "401", "401"]
        for status, line in promised:
            command = [*shlex.split(line), "-s", "-o", "/dev/null", "-w", "%{http_code}"]
            tries = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(3)]
            assert tries[-1] == status  # the poor account pays two calls, the limited key has one
        eventually(lambda: "402: 1" in shown.read_text(), 5, "the live line did not move")
    finally:
        demo.send_signal(signal.SIGINT)
        assert demo.wait(20) == 0
    assert not directory.exists()
    assert not connects(port)

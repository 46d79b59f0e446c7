"""The manual's shell lines, run by a shell against a gateway that serves the file of its first page; its metrics."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway import Gateway, clean_environment, get
from pages import PAGES, ROOT, Block, explained
from pem_files import Pem
from shell import SHELL, calls, joined
from test_docs_shell import file_of

pytestmark = pytest.mark.slow

FIRST = ROOT / "docs" / "get-started.md"
ORDER = sorted(PAGES, key=lambda page: (page != FIRST, page.name != "README.md"))
ENDLESS = ("serve", "demo", "--follow", "-f", "--listen")


def lines(block: Block) -> Iterator[str]:
    """Those that ask a running gateway, by command or by curl."""
    found = {call.line for call in calls(block) if not {*ENDLESS, "prompt"} & set(call.arguments)}
    endless = {call.line for call in calls(block) if set(ENDLESS) & set(call.arguments)}
    for line in joined(block):
        if (line in found and line not in endless) or (line.startswith("curl ") and block.page == FIRST):
            yield line


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory, pem: Pem) -> Iterator[Gateway]:
    program = Path(__file__).parents[1] / "blackbox" / "upstream.py"
    upstream = subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True)
    assert upstream.stdout is not None
    try:
        url = f"http://127.0.0.1:{int(upstream.stdout.readline())}"
        with Gateway(tmp_path_factory.mktemp("manual"), url) as gateway:
            for name in ("certificate.pem", "key.pem"):
                pem.put(gateway.directory / name)
            gateway.file.write_text(
                file_of(FIRST).replace("http://127.0.0.1:9001", url)
                + f'[[listeners]]\naddress = "unix:{gateway.segment_dir}/tls"\ntls = true\n'
                + '[[certificates]]\ncertificate = "certificate.pem"\nkey = "key.pem"\n'
            )
            gateway.start(workers=1)
            yield gateway
    finally:
        upstream.kill()
        upstream.communicate()


def run(gateway: Gateway, line: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "FASTGW_ADMIN": f"127.0.0.1:{gateway.admin_port}", "FASTGW_STATE_DIR": str(gateway.state_dir),
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
    }  # fmt: skip
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line.replace("127.0.0.1:8080", f"127.0.0.1:{gateway.port}")],
        cwd=gateway.directory, env=clean_environment(environment), capture_output=True, text=True, timeout=30,
        check=False,
    )  # fmt: skip


def test_every_line_does_what_it_says(shell: Gateway) -> None:
    """One after the other, as a reader would."""
    ran = 0
    for page in ORDER:
        for block in (block for block in SHELL if block.page == page):
            for line in lines(block):
                done = run(shell, line)
                assert done.returncode == 0, f"{block.name}: {line}\n{done.stdout}{done.stderr}"
                if line.startswith("curl -i"):
                    assert done.stdout.startswith("HTTP/1.1 200 "), f"{block.name}: {line}\n{done.stdout}"
                ran += 1
    assert ran >= 12


def test_prompts_are_shown_and_tried_by_the_file_of_their_page(tmp_path: Path) -> None:
    """As far as no provider is asked, and no gateway that runs."""
    page = ROOT / "docs" / "prompts.md"
    (tmp_path / "fastgw.toml").write_text(file_of(page))
    (tmp_path / "article.txt").write_text("Once upon a time.")
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    environment = clean_environment({"OPENAI_API_KEY": "sk-openai", "PATH": path})
    told = [call for block in SHELL if block.page == page for call in calls(block) if call.arguments[0] == "prompt"]
    told = [call for call in told if call.arguments[1] != "try" or "--dry-run" in call.arguments]
    for call in told:
        done = subprocess.run(
            ["bash", "-c", call.line], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{call.line}\n{done.stdout}{done.stderr}"
        assert "summarize" in done.stdout or "Once upon a time." in done.stdout
    assert len(told) == 3


def test_every_metric_is_explained_and_there(shell: Gateway) -> None:
    text = get(f"{shell.admin_url}/metrics")[1]
    kinds = dict(re.findall(r"^# TYPE (fastgw_\w+) (\w+)$", text, re.M))
    assert explained(ROOT / "docs" / "monitoring.md") == kinds

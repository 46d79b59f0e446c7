"""The command line: what is printed where, and the exit code."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from config_files import MINIMAL

from fastgw import __version__
from fastgw.cli import main
from fastgw.config.load import read_again
from fastgw.config.route_flags import ROUTE_FLAGS
from fastgw.model import Config
from fastgw.published import Source
from fastgw.settings import GROUPS, SETTINGS

SERVE = ["serve", "--upstream", "http://127.0.0.1:9001"]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("FASTGW_"):
            monkeypatch.delenv(name)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """What `serve` hands to a supervisor that only takes note, and ends with 7; it can be read again."""
    configs: list[Config] = []

    def run(config: Config, source: Source) -> int:
        assert read_again(source).config == config
        configs.append(config)
        return 7

    module = ModuleType("fastgw.supervisor")
    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fastgw.supervisor", module)
    return configs


def test_serve_runs_the_supervisor_and_ends_with_its_code(served: list[Config]) -> None:
    argv = [
        *SERVE,
        "--key",
        "sk-acme-0001",
        "--key",
        "sk-acme-0002",
        "--workers",
        "2",
        "--head-timeout",
        "3s",
    ]
    assert main(argv) == 7
    [config] = served
    assert len(config.keys) == 2
    assert (config.server.workers, config.server.head_timeout_ms) == (2, 3_000)


def test_serve_reads_the_file_and_the_environment(served: list[Config], monkeypatch: pytest.MonkeyPatch) -> None:
    Path("fastgw.toml").write_text(MINIMAL)
    monkeypatch.setenv("FASTGW_WORKERS", "5")
    assert main(["serve", "-c", "fastgw.toml"]) == 7
    monkeypatch.setenv("FASTGW_CONFIG", "fastgw.toml")
    assert main(["serve"]) == 7
    assert [config.server.workers for config in served] == [5, 5]


def test_serve_with_problems_starts_nothing(served: list[Config], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SERVE, "--workers", "0", "--no-auth", "--rate", "1/s"]) == 2
    out, err = capsys.readouterr()
    assert served == []
    assert out == ""
    assert err.splitlines() == [
        "fastgw: error: --workers: server.workers = 0: must be an integer from 1 to 64",
        'fastgw: error: --rate: routes[0].rate = "1/s": a route with auth "none" knows no caller to charge or limit',
    ]


def test_check_counts_what_a_right_file_holds(capsys: pytest.CaptureFixture[str]) -> None:
    Path("fastgw.toml").write_text(MINIMAL + '[[accounts]]\nname = "a"\n[[accounts]]\nname = "b"\n')
    assert main(["check", "-c", "fastgw.toml"]) == 0
    assert capsys.readouterr().out == "OK: 1 upstream, 1 route, 2 accounts, 0 keys\n"


def test_check_shows_every_setting_with_its_origin(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("fastgw.toml").write_text(f'[server]\nadmin = "off"\nhead_timeout = 75\n{MINIMAL}')
    monkeypatch.setenv("FASTGW_BODY_MAX", "0")
    assert main(["check", "-c", "fastgw.toml", "--show"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["admin", "off", "fastgw.toml:2", "(restart)"] in lines
    assert ["head_timeout", "75s", "fastgw.toml:3"] in lines
    assert ["body_max", "0", "(no", "limit)", "FASTGW_BODY_MAX"] in lines
    assert ["url_max", "8KiB", "default"] in lines
    assert {row.name for row in SETTINGS} <= {line[0] for line in lines}
    assert {line[0] for line in lines if line[-1] == "(restart)"} == {r.name for r in SETTINGS if not r.reloadable}


def test_check_of_a_wrong_file_ends_with_1_and_names_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    Path("fastgw.toml").write_text("[server]\nworkers = 0\nurl_max = 1\n" + MINIMAL)
    assert main(["check", "-c", "fastgw.toml"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split(": ")[:3] for line in err.splitlines()] == [
        ["fastgw", "error", "fastgw.toml:2"],
        ["fastgw", "error", "fastgw.toml:3"],
    ]


def test_check_reads_the_files_of_keys(capsys: pytest.CaptureFixture[str]) -> None:
    Path("keys.jsonl").write_text('{"account":"none","key":"sk-secret-1"}\n')
    Path("fastgw.toml").write_text('[server]\nkeys_file = "keys.jsonl"\n' + MINIMAL)
    assert main(["check", "-c", "fastgw.toml"]) == 1
    err = capsys.readouterr().err
    assert err.endswith('keys.jsonl:1: account = "none": no account has this name\n')


def test_demo_runs_at_the_address_given(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    addresses: list[str] = []

    def run(listen: str) -> int:
        addresses.append(listen)
        return 0

    module = ModuleType("fastgw.demo")
    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fastgw.demo", module)
    assert main(["demo"]) == 0
    assert main(["demo", "--listen", ":9000"]) == 0
    assert main(["demo", "--listen", "9000"]) == 2
    assert addresses == ["127.0.0.1:8080", ":9000"]
    assert capsys.readouterr().err.startswith('fastgw: error: --listen: "9000": must be host:port')


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["serve", "--wrokers", "2"], "--wrokers"),
        (["serv"], "serv"),
        (["check"], "-c"),
        (["serve", "--workers"], "--workers"),
        (["serve", "extra"], "extra"),
    ],
)
def test_a_wrong_command_line_ends_with_2(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert err.startswith("fastgw: error: ")
    assert message in err


def test_help_groups_every_option_and_shows_its_default_and_its_bounds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["serve", "--help"]) == 0
    text = capsys.readouterr().out
    words = " ".join(text.split())
    headings = [line[:-1] for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["Options", "One route, without a file", *GROUPS]
    for flag in [row.flag for row in SETTINGS] + [row.flag for row in ROUTE_FLAGS]:
        assert f"{flag} " in words
    assert "[default: 10s; from 100ms to 24h]" in words
    assert "[default: 64MiB; from 1B to 1TiB, or 0 (no limit)]" in words
    assert "[default: one per core; from 1 to 64]" in words
    assert "FASTGW_HEAD_TIMEOUT" in words
    assert "Examples:" in words


def test_the_version_and_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"fastgw {__version__}\n"
    assert main([]) == 0
    assert "serve" in capsys.readouterr().out


def test_the_module_is_the_command_and_needs_no_compiled_code() -> None:
    Path("fastgw.toml").write_text(MINIMAL)
    code = (
        "import sys; from fastgw.cli import main; status = main(['check', '-c', 'fastgw.toml']);"
        "compiled = [n for n, m in sys.modules.items() if n.startswith('fastgw._')"
        " and (getattr(m, '__file__', '') or '').endswith('.so')]; sys.exit(status or len(compiled))"
    )
    for argv in (["-c", code], ["-m", "fastgw", "check", "-c", "fastgw.toml"]):
        done = subprocess.run([sys.executable, *argv], capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout) == (0, "OK: 1 upstream, 1 route, 0 accounts, 0 keys\n")

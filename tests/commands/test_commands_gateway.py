"""Quotes, audits and reloads from the shell, and what every command has in common."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from fake_gateway import ACCOUNT, Gateway, Run, page

from fastgw.cli import main
from fastgw.commands import accounts, calls, keys, money, show
from fastgw.commands import gateway as whole

ID = "key_0123456789abcdef"
ADMITTED = {
    "admitted": True, "verdict": "admitted", "status": 200, "why": "The call would be admitted now.", "route": "chat",
    "account": "acme", "key_id": ID, "price": "0.001",
}  # fmt: skip
AUDIT = {
    "passed": True, "at": "2026-11-20T08:00:00.5Z", "accounts": 2, "entries": 12345, "balance": "30",
    "captured": "5.000000001", "logged": "5.000000001", "dropped": "0", "losses": 0, "lost_at": None,
    "differences": [],
}  # fmt: skip


# Quotes


@pytest.mark.parametrize(
    ("argv", "body"),
    [
        ([ID, "--route", "chat"], {"key_id": ID, "route": "chat"}),
        (["--route", "open"], {"route": "open"}),
        (
            [ID, "--path", "/v1/chat?x=1", "--method", "GET", "--host", "a.example"],
            {"key_id": ID, "path": "/v1/chat?x=1", "method": "GET", "host": "a.example"},
        ),
    ],
)
def test_a_quote_is_of_a_caller_and_a_call(gateway: Gateway, run: Run, argv: list[str], body: object) -> None:
    gateway.on("POST /v1/quote", ADMITTED)
    code, out, _ = run("quote", *argv)
    assert code == 0
    assert gateway.asked[0]["body"] == body
    assert "price     0.001" in out
    assert "admitted  yes" in out


def test_the_key_itself_comes_by_standard_input(gateway: Gateway, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("sk-acme-0001\n"))
    gateway.on("POST /v1/quote", ADMITTED)
    assert run("quote", "-", "--route", "chat")[0] == 0
    assert gateway.asked[0]["body"] == {"key": "sk-acme-0001", "route": "chat"}
    code, _, err = run("quote", "sk-acme-0001", "--route", "chat")
    assert code == 2
    assert "or - to read the key itself from standard input" in err


def test_a_call_that_would_be_refused_ends_with_1_and_says_why(gateway: Gateway, run: Run) -> None:
    refused = {
        **ADMITTED, "admitted": False, "verdict": "quota_exhausted", "status": 402, "why": "All used. Wait.",
        "limit": 1000, "used": 1000, "window": "day", "resets_at": "2026-11-21T00:00:00.000Z",
    }  # fmt: skip
    gateway.on("POST /v1/quote", refused)
    code, out, _ = run("quote", ID, "--route", "chat")
    assert code == 1
    for line in ("admitted   no", "verdict    quota_exhausted", "resets at  2026-11-21T00:00:00Z", "used       1,000"):
        assert line in out
    assert run("quote", ID, "--route", "chat", "--json")[0] == 1


@pytest.mark.parametrize("argv", [[ID], [ID, "--route", "a", "--path", "/b"]])
def test_a_quote_without_a_call_or_with_two_is_a_wrong_command_line(
    gateway: Gateway, run: Run, argv: list[str]
) -> None:
    code, _, err = run("quote", *argv)
    assert code == 2
    assert "Give --route NAME, or --path PATH" in err
    assert gateway.asked == []


# Audits


def test_an_audit_that_passes_ends_with_0(gateway: Gateway, run: Run) -> None:
    gateway.on("GET /v1/audit", AUDIT)
    code, out, err = run("audit")
    assert (code, err) == (0, "")
    assert "captured  5.000000001" in out
    assert "entries   12,345" in out
    assert out.endswith("Ledger, segment and call log agree to the last nano.\n")
    assert json.loads(run("audit", "--json")[1]) == AUDIT


def test_an_audit_that_fails_ends_with_1_and_says_where(gateway: Gateway, run: Run) -> None:
    difference = {"account": "acme", "what": "captured", "expected": "5.000000001", "found": "5"}
    gateway.on("GET /v1/audit", {**AUDIT, "passed": False, "differences": [difference]})
    code, out, err = run("audit")
    assert code == 1
    assert "acme     captured  5.000000001      5" in out
    assert "agree" not in out
    assert err == "fastgw: error: they do not agree; what is expected is by the ledger\n"
    assert run("audit", "--json")[0] == 1


# Reloads


def test_a_reload_says_what_changed_and_what_waits(gateway: Gateway, run: Run) -> None:
    gateway.on("POST /v1/reload", {"changes": ["server.workers: 1 → 2"], "restart": ["server.listen: :1 → :2"]})
    code, out, _ = run("reload")
    assert code == 0
    assert out == "server.workers: 1 → 2\nserver.listen: :1 → :2 (needs a restart, and stays as it is)\n"
    gateway.on("POST /v1/reload", {"changes": [], "restart": []})
    assert run("reload")[1] == "nothing has changed\n"


def test_a_refused_reload_names_every_line_that_is_wrong(gateway: Gateway, run: Run) -> None:
    problems = [{"where": f"fastgw.toml:{line}", "message": "is wrong"} for line in (3, 9)]
    gateway.on("POST /v1/reload", (422, {"detail": "2 problems; nothing has changed", "problems": problems}))
    assert run("reload") == (
        1, "",
        "fastgw: error: 2 problems; nothing has changed\n"
        "fastgw: error: fastgw.toml:3: is wrong\n"
        "fastgw: error: fastgw.toml:9: is wrong\n",
    )  # fmt: skip


# All of them


def leaves(command: click.Command, *path: str) -> Iterator[tuple[str, ...]]:
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from leaves(child, *path, name)
    else:
        yield path


COMMANDS = [
    *leaves(accounts.COMMAND, "account"), *leaves(keys.COMMAND, "key"), ("topup",), ("adjust",), ("balance",),
    ("entries",), ("usage",), ("logs",), ("quote",), ("audit",), ("reload",),
]  # fmt: skip


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_help_teaches_by_examples_and_says_how_the_command_ends(path: tuple[str, ...], run: Run) -> None:
    code, out, _ = run(*path, "--help")
    assert code == 0
    assert f"  fastgw {' '.join(path)}" in out.partition("Examples:")[2]
    assert "Exit codes: 0 done, 1 refused or failed, 2 wrong command line or configuration, 3 no gateway" in out
    for option in ("--json", "--admin ADDRESS", "--state-dir DIR", "--config FILE"):
        assert option in out


def test_the_list_of_commands_has_all_of_them(run: Run) -> None:
    out = run("--help")[1]
    for name in {path[0] for path in COMMANDS}:
        assert f"\n  {name} " in out
    assert {money.TOPUP.name, calls.LOGS.name, whole.AUDIT.name} == {"topup", "logs", "audit"}


def test_serving_imports_no_client() -> None:
    code = "import sys; from fastgw.cli import main; main(['serve', '--wrong']); sys.exit('httpx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, capture_output=True, check=False).returncode == 0


def test_on_a_terminal_a_table_is_as_wide_as_it_has_to_be_and_keeps_markup_as_text(
    gateway: Gateway, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(show, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    gateway.on("GET /v1/accounts", page({**ACCOUNT, "plan": "[red]x"}))
    assert main(["account", "list"]) == 0
    out = capsys.readouterr().out
    assert "[red]x" in out
    assert "30.25" in out
    assert "─" in out


def test_a_reader_that_goes_away_ends_the_command_in_silence(gateway: Gateway) -> None:
    argv = [sys.executable, "-m", "fastgw", "account", "list", "-n", "0"]
    gateway.on("GET /v1/accounts", page(*({**ACCOUNT, "name": f"a{n}"} for n in range(5_000))))
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 1
    assert process.stderr.read() == b""

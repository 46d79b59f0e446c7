"""Keys from the shell: shown once, limited as said, never in a table."""

import hashlib
import json
import ssl
from pathlib import Path

import pytest
import trustme
from fake_gateway import KEY, Gateway, Run, page, rows

ID = "key_0123456789abcdef"
LIMITS = ["--rate=10/s", "--burst=20", "--budget=5.00", "--budget-period=day"]
SECRET = "sk-shown-once-wXyZ"


def test_keys_are_listed_without_their_secrets(gateway: Gateway, run: Run) -> None:
    plain = {**KEY, "name": "", "rate": None, "burst": None, "budget": None, "budget_period": "", "hint": ""}
    gateway.on("GET /v1/keys", page(KEY, plain))
    out = run("key", "list", "--account", "acme")[1]
    assert gateway.asked[0]["query"] == {"account": "acme", "limit": "100"}
    lines = out.splitlines()
    assert lines[0].split("  ")[0] == "id"
    for words in (ID, "…wXyZ", "10/s burst 20", "1.5 of 5 a day"):
        assert words in lines[1]
    assert rows(out)[2] == [ID, "acme", "-", "-", "active", "-", "-", "-", "-", "-", "api"]


def test_a_new_key_is_shown_once_and_alone_where_a_script_reads(gateway: Gateway, run: Run) -> None:
    gateway.on("POST /v1/keys", (201, {"secret": SECRET, "key": KEY}))
    code, out, err = run("key", "create", "acme", "--name", "ci")
    assert (code, out) == (0, f"{SECRET}\n")
    assert err == f"{ID} of acme; the secret is shown this once\n"
    assert json.loads(run("key", "create", "acme", "--json")[1]) == {"secret": SECRET, "key": KEY}
    assert [asked["body"] for asked in gateway.asked] == [{"account": "acme", "name": "ci"}, {"account": "acme"}]


def test_a_certificate_s_file_is_told_by_its_fingerprint(gateway: Gateway, run: Run, tmp_path: Path) -> None:
    gateway.on("POST /v1/keys", (201, {"secret": "", "key": KEY}))
    leaf = trustme.CA().issue_cert("billing.example.com")
    file = tmp_path / "billing.pem"
    file.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
    code, out, err = run("key", "create", "acme", "--certificate", str(file))
    assert (code, err) == (0, "")
    assert ID in out
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())).hexdigest()
    assert gateway.asked[0]["body"] == {"account": "acme", "certificate": f"sha256:{digest}"}
    file.write_bytes(leaf.private_key_pem.bytes())
    for path, says in ((file, "holds no certificate in PEM"), (tmp_path / "none", "cannot be read: No such file")):
        assert says in run("key", "create", "acme", "--certificate", str(path))[2]


@pytest.mark.parametrize(
    ("argv", "what", "body"),
    [
        (
            ["create", "acme", *LIMITS, "--expires=2027-01-31"],
            "POST /v1/keys",
            {
                "account": "acme", "rate": "10/s", "burst": 20, "budget": "5", "budget_period": "day",
                "expires": "2027-01-31T00:00:00Z",
            },
        ),
        (
            ["create", "acme", "--models", "gpt-5*, claude-*"],
            "POST /v1/keys",
            {"account": "acme", "models": ["gpt-5*", "claude-*"]},
        ),
        (["change", ID, "--models", "*"], f"PATCH /v1/keys/{ID}", {"models": ["*"]}),
        (["change", ID, "--rate", "none"], f"PATCH /v1/keys/{ID}", {"rate": None}),
        (["change", ID, "--budget", "none"], f"PATCH /v1/keys/{ID}", {"budget": None}),
        (
            ["change", ID, "--budget", "2", "--budget-period", "once"],
            f"PATCH /v1/keys/{ID}",
            {"budget": "2", "budget_period": ""},
        ),
        (["change", ID, "--expires", "never", "--name", "x"], f"PATCH /v1/keys/{ID}", {"expires": None, "name": "x"}),
        (["rotate", ID], f"POST /v1/keys/{ID}/rotate", {"grace_seconds": 0}),
        (["rotate", ID, "--grace", "24h"], f"POST /v1/keys/{ID}/rotate", {"grace_seconds": 86_400}),
        (["revoke", ID], f"POST /v1/keys/{ID}/revoke", None),
        (["show", ID], f"GET /v1/keys/{ID}", None),
    ],
)  # fmt: skip
def test_what_is_said_is_asked_for_and_nothing_else(
    gateway: Gateway, run: Run, argv: list[str], what: str, body: object
) -> None:
    shows_secret = argv[0] in ("create", "rotate")
    gateway.on(what, {"secret": SECRET, "key": KEY} if shows_secret else KEY)
    code, out, _ = run("key", *argv)
    assert code == 0
    assert gateway.asked[0]["body"] == body
    assert (SECRET in out) is shows_secret


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["show", "sk-secret-1"], "must be a key's id, like key_0123456789abcdef; `fastgw key list` has them"),
        (["create", "acme", "--rate", "fast"], '"fast" must be a whole number'),
        (["create", "acme", "--rate", "none"], '"none" must be a whole number'),
        (["create", "acme", "--models", ","], "at least one name"),
        (["create", "acme", "--budget", "0"], '"0" must not be 0'),
        (["create", "acme", "--budget-period", "week"], "'day', 'month'"),
        (["create", "acme", "--burst", "0"], "--burst"),
        (["change", ID], "Nothing to change"),
        (["rotate", ID, "--grace", "soon"], '"soon" must be a duration'),
        (["forget", ID], "forget"),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_asks_nobody(
    gateway: Gateway, run: Run, argv: list[str], message: str
) -> None:
    code, out, err = run("key", *argv)
    assert (code, out) == (2, "")
    assert message in err
    assert gateway.asked == []

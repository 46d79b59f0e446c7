"""Accounts and money from the shell: what is asked, what is shown, and that money moves once."""

import json

import pytest
from fake_gateway import ACCOUNT, CLOSE, ENTRY, Gateway, Run, page, rows

from fastgw.commands import client


def test_accounts_are_a_table_of_aligned_columns_where_no_terminal_is(gateway: Gateway, run: Run) -> None:
    gateway.on("GET /v1/accounts", page(ACCOUNT, {**ACCOUNT, "name": "b", "plan": "", "balance": "1234567.000000001"}))
    code, out, err = run("account", "list")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert rows(out) == [
        ["name", "status", "plan", "balance", "held", "available", "credit", "expires", "origin"],
        ["acme", "active", "gold", "25.5", "0.25", "30.25", "5", "-", "api"],
        ["b", "active", "-", "1234567.000000001", "0.25", "30.25", "5", "-", "api"],
    ]
    assert len({line.index("0.25") + 4 for line in lines[1:]}) == 1
    assert gateway.asked[0]["query"] == {"limit": "100"}


def test_json_is_one_document_of_what_the_gateway_said(gateway: Gateway, run: Run) -> None:
    gateway.on("GET /v1/accounts", page(ACCOUNT))
    assert json.loads(run("account", "list", "--json")[1]) == [ACCOUNT]
    gateway.on("GET /v1/accounts/acme", ACCOUNT)
    assert json.loads(run("account", "show", "acme", "--json")[1]) == ACCOUNT


def test_all_pages_are_asked_for_until_there_is_enough(gateway: Gateway, run: Run) -> None:
    names = [{**ACCOUNT, "name": name} for name in "abcde"]
    gateway.on("GET /v1/accounts", page(*names[:2], next="b"), page(*names[2:4], next="d"), page(names[4]))
    assert [account["name"] for account in json.loads(run("account", "list", "-n", "0", "--json")[1])] == list("abcde")
    assert [asked["query"].get("cursor") for asked in gateway.asked] == [None, "b", "d"]
    assert gateway.asked[0]["query"]["limit"] == "1000"
    gateway.asked.clear()
    gateway.on("GET /v1/accounts", page(*names[:2], next="b"), page(names[2], next="c"))
    assert len(json.loads(run("account", "list", "-n", "3", "--json")[1])) == 3
    assert [asked["query"]["limit"] for asked in gateway.asked] == ["3", "1"]


def test_one_account_shows_its_money_its_quotas_and_its_end(gateway: Gateway, run: Run) -> None:
    gateway.on("GET /v1/accounts/acme", {**ACCOUNT, "expires": "2027-01-01T00:00:00Z"})
    out = run("account", "show", "acme")[1]
    facts = [line.split(None, 1) for line in out.splitlines()]
    assert ["balance", "25.5"] in facts
    assert "calls a day    250 of 1,000, 2 in flight; resets 2026-11-21T00:00:00Z" in out
    assert "calls a month  4,100 of 20,000; resets 2026-12-01T00:00:00Z" in out
    assert ["expires", "2027-01-01T00:00:00Z"] in facts
    assert ["created", "2026-11-20T08:00:00Z"] in facts


@pytest.mark.parametrize(
    ("argv", "what", "body"),
    [
        (["account", "create", "acme"], "POST /v1/accounts", {"name": "acme"}),
        (
            ["account", "create", "acme", "--credit=5.50", "--plan=gold", "--expires=2027-01-31", "--suspended"],
            "POST /v1/accounts",
            {"name": "acme", "credit": "5.5", "plan": "gold", "expires": "2027-01-31T00:00:00Z", "suspended": True},
        ),
        (["account", "change", "acme", "--plan", ""], "PATCH /v1/accounts/acme", {"plan": ""}),
        (["account", "change", "acme", "--credit", "0"], "PATCH /v1/accounts/acme", {"credit": "0"}),
        (["account", "change", "acme", "--expires", "never"], "PATCH /v1/accounts/acme", {"expires": None}),
        (
            ["account", "change", "acme", "--expires", "2027-01-31T01:00:00+01:00"],
            "PATCH /v1/accounts/acme",
            {"expires": "2027-01-31T00:00:00Z"},
        ),
        (["account", "suspend", "acme"], "PATCH /v1/accounts/acme", {"suspended": True}),
        (["account", "resume", "acme"], "PATCH /v1/accounts/acme", {"suspended": False}),
    ],
)  # fmt: skip
def test_what_is_said_is_asked_for_and_nothing_else(
    gateway: Gateway, run: Run, argv: list[str], what: str, body: object
) -> None:
    gateway.on(what, (201 if what.startswith("POST") else 200, ACCOUNT))
    assert run(*argv)[0] == 0
    [asked] = gateway.asked
    assert asked["body"] == body


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["topup", "acme", "0.1.2"], '"0.1.2" must be an amount'),
        (["topup", "acme", "0"], '"0" must not be 0'),
        (["topup", "acme", "-1"], '"-1" must not be negative'),
        (["topup", "acme", "0.0000000001"], "at most 9 decimals"),
        (["topup", "a/b", "1"], '"a/b" must be 1 to 63 of'),
        (["topup", "acme"], "AMOUNT"),
        (["topup", "acme", "1", "--expires", "soon"], '"soon" must be a moment like 2027-01-31T00:00:00Z'),
        (["topup", "acme", "1", "--expires", "2027-01-31T00:00:00"], "must say its offset"),
        (["topup", "acme", "1", "--idempotency-key", "a b"], '"a b" must be 1 to 255 printable'),
        (["adjust", "acme", "1"], "--note"),
        (["account", "change", "acme"], "Nothing to change"),
        (["account", "list", "-n", "-1"], "-n"),
        (["account", "forget", "acme"], "forget"),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_asks_nobody(
    gateway: Gateway, run: Run, argv: list[str], message: str
) -> None:
    code, out, err = run(*argv)
    assert (code, out) == (2, "")
    assert err.startswith("fastgw: error: ")
    assert message in err
    assert gateway.asked == []


# Money


def test_a_top_up_is_asked_for_with_a_key_of_its_own_and_shown(gateway: Gateway, run: Run) -> None:
    gateway.on("POST /v1/accounts/acme/topups", (201, ENTRY))
    code, out, _ = run("topup", "acme", "25.00", "--reference", "invoice-17", "--note", "thanks")
    assert code == 0
    assert ["amount", "25"] in rows(out)
    run("topup", "acme", "25.00")
    first, second = gateway.asked
    assert first["body"] == {"amount": "25", "reference": "invoice-17", "note": "thanks"}
    keys = [asked["headers"]["idempotency-key"] for asked in (first, second)]
    assert keys[0] != keys[1]
    assert min(map(len, keys)) >= 32


def test_a_top_up_that_lost_its_answer_is_sent_again_with_the_same_key(gateway: Gateway, run: Run) -> None:
    gateway.on("POST /v1/accounts/acme/topups", CLOSE, (503, {"detail": "not now"}), CLOSE, (201, ENTRY))
    code, _, err = run("topup", "acme", "25.00")
    assert (code, err) == (0, "fastgw: no answer yet, trying again\n")
    assert len(gateway.asked) == 4
    assert len({asked["headers"]["idempotency-key"] for asked in gateway.asked}) == 1
    assert len({json.dumps(asked["body"]) for asked in gateway.asked}) == 1


def test_a_top_up_without_any_answer_says_how_to_repeat_it(gateway: Gateway, run: Run) -> None:
    gateway.on("POST /v1/accounts/acme/topups", CLOSE)
    code, out, err = run("topup", "acme", "25.00")
    assert (code, out) == (3, "")
    assert len(gateway.asked) == len(client.PAUSES_S) + 1
    key = gateway.asked[0]["headers"]["idempotency-key"]
    assert f"It is not known whether it was done: repeat the command with --idempotency-key {key}, and" in err
    gateway.on("POST /v1/accounts/acme/topups", (503, {"detail": "The disk is full."}))
    code, _, err = run("topup", "acme", "25.00", "--idempotency-key", "payment-8c41f")
    assert code == 1
    assert (
        "The disk is full. It is not known whether it was done: repeat the command with --idempotency-key payment-8c41f"
        in err
    )


def test_where_nobody_listens_nothing_was_done(gateway: Gateway, run: Run) -> None:
    gateway.close()
    code, _, err = run("topup", "acme", "25.00")
    assert code == 3
    assert "not known" not in err


@pytest.mark.parametrize(("written", "sent"), [("-1.50", "-1.5"), ("1.50", "1.5"), ("-0.000000001", "-0.000000001")])
def test_an_adjustment_adds_or_takes(gateway: Gateway, run: Run, written: str, sent: str) -> None:
    gateway.on("POST /v1/accounts/acme/adjustments", (201, {**ENTRY, "kind": "adjustment", "amount": sent}))
    assert run("adjust", "acme", written, "--note", "put right")[0] == 0
    assert gateway.asked[0]["body"] == {"amount": sent, "note": "put right"}
    assert gateway.asked[0]["headers"]["idempotency-key"]


def test_a_refusal_is_told_in_the_gateways_words_and_ends_with_1(gateway: Gateway, run: Run) -> None:
    problem = {"detail": "acme has 0.5 available, less than 1.5", "code": "insufficient_balance", "available": "0.5"}
    gateway.on("POST /v1/accounts/acme/adjustments", (409, problem))
    assert run("adjust", "acme", "-1.50", "--note", "x") == (
        1, "", "fastgw: error: acme has 0.5 available, less than 1.5\n",
    )  # fmt: skip
    assert len(gateway.asked) == 1


def test_what_is_not_safe_to_repeat_is_sent_once(gateway: Gateway, run: Run) -> None:
    gateway.on("POST /v1/accounts", CLOSE)
    code, _, err = run("account", "create", "acme")
    assert code == 3
    assert "It is not known whether it was done: look before you do it again." in err
    assert len(gateway.asked) == 1


def test_balances_of_some_or_all(gateway: Gateway, run: Run) -> None:
    gateway.on("GET /v1/accounts", page(ACCOUNT))
    gateway.on("GET /v1/accounts/acme", ACCOUNT)
    for argv in (["balance"], ["balance", "acme"]):
        assert rows(run(*argv)[1]) == [
            ["name", "balance", "held", "credit", "available"],
            ["acme", "25.5", "0.25", "5", "30.25"],
        ]
    assert json.loads(run("balance", "acme", "--json")[1])[0]["available"] == "30.25"


def test_entries_go_on_after_one(gateway: Gateway, run: Run) -> None:
    gateway.on("GET /v1/accounts/acme/entries", page(ENTRY, {**ENTRY, "id": 9, "kind": "capture", "amount": "-0.25"}))
    code, out, err = run("entries", "acme", "--after", "5", "-n", "2")
    assert code == 0
    assert rows(out) == [
        ["id", "at", "kind", "amount", "reference", "note"],
        ["7", "2026-11-20T08:00:00Z", "topup", "25", "invoice-17", "-"],
        ["9", "2026-11-20T08:00:00Z", "capture", "-0.25", "invoice-17", "-"],
    ]
    assert gateway.asked[0]["query"] == {"cursor": "5", "limit": "2"}
    assert err == "There may be more: --after 9, or -n 0 for all.\n"


def test_no_byte_of_a_note_reaches_the_terminal_as_a_command(gateway: Gateway, run: Run) -> None:
    gateway.on("GET /v1/accounts/acme/entries", page({**ENTRY, "note": "a\x1b[2J\nfake line\u202e[red]"}))
    out = run("entries", "acme")[1]
    assert "\x1b" not in out
    assert len(out.splitlines()) == 2
    assert "a\\x1b[2J\\nfake line\\u202e[red]" in out

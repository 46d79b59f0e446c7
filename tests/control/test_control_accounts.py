"""Accounts, what comes in and goes out by hand, and the ledger's entries, as the admin API has them."""

from itertools import count

import pytest
from admin_rig import Parts, Served

names = (f"account-{number}" for number in count(1))


@pytest.fixture
def name(served: Served) -> str:
    """An account of the API that has nothing."""
    made = served("POST", "/v1/accounts", {"name": next(names)})
    assert made.status_code == 201
    found: str = made.json()["name"]
    return found


def test_an_account_is_made_read_and_changed(served: Served) -> None:
    name = next(names)
    body = {"name": name, "credit": "2.50", "plan": "pro", "expires": "2030-01-01T00:00:00+01:00", "suspended": True}
    made = served("POST", "/v1/accounts", body)
    assert made.status_code == 201
    assert made.json() == served("GET", f"/v1/accounts/{name}").json()
    assert made.json() | {"quotas": [], "created": ""} == {
        "name": name, "origin": "api", "status": "suspended", "plan": "pro", "credit": "2.5",
        "expires": "2029-12-31T23:00:00Z", "balance": "0", "held": "0", "available": "2.5", "quotas": [], "created": "",
        "tag_budget": None, "tag_budget_period": "", "tags_max": 0,
    }  # fmt: skip
    changed = served("PATCH", f"/v1/accounts/{name}", {"suspended": False, "expires": None, "credit": "0"})
    assert changed.status_code == 200
    assert (changed.json()["status"], changed.json()["expires"], changed.json()["credit"]) == ("active", None, "0")
    assert changed.json()["plan"] == "pro"  # not spoken of, so it stays


def test_a_quota_says_its_window_and_when_it_resets(served: Served) -> None:
    assert served("GET", "/v1/accounts/filed").json()["quotas"] == [
        {"window": "day", "unit": "calls", "limit": 1_000, "used": 7, "held": 1, "resets_at": "2026-09-21T15:13:20Z"}
    ]


def test_a_tag_is_made_listed_and_removed(served: Served, name: str) -> None:
    path = f"/v1/accounts/{name}/tags"
    made = served("POST", path, {"name": "run-17", "budget": "5.00", "budget_period": "day"})
    assert made.status_code == 201
    assert made.json() | {"created": ""} == {
        "account": name, "name": "run-17", "origin": "api", "status": "active", "budget": "5", "budget_period": "day",
        "budget_used": "0", "left": "5", "budget_resets": None, "expires": None, "created": "",
    }  # fmt: skip
    assert served("POST", path, {"name": "run-17"}).status_code == 409
    assert served("POST", path, {"name": "free"}).json()["left"] is None
    first = served("GET", path, params={"limit": 1}).json()
    assert ([tag["name"] for tag in first["items"]], first["next"]) == (["free"], "free")
    assert [tag["name"] for tag in served("GET", path, params={"cursor": "free"}).json()["items"]] == ["run-17"]
    assert served("DELETE", f"{path}/run-17").status_code == 204
    assert served("DELETE", f"{path}/run-17").status_code == 404
    for body, where in (
        ({"name": "a b"}, "body.name"),
        ({"name": "x" * 65}, "body.name"),
        ({"name": "x", "budget_period": "day"}, "body.budget_period"),
    ):
        assert served("POST", path, body).json()["problems"][0]["where"] == where


def test_a_name_is_taken_once(served: Served, name: str) -> None:
    again = served("POST", "/v1/accounts", {"name": name})
    assert (again.status_code, again.json()["code"]) == (409, "conflict")


def test_what_there_is_not_is_not_found(served: Served) -> None:
    for method, path, body in (
        ("GET", "/v1/accounts/nobody", None),
        ("PATCH", "/v1/accounts/nobody", {}),
        ("GET", "/v1/accounts/nobody/entries", None),
        ("POST", "/v1/accounts/nobody/topups", {"amount": "1"}),
        ("POST", "/v1/accounts/nobody/adjustments", {"amount": "1", "note": "x"}),
    ):
        answer = served(method, path, body)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
        assert "nobody" in answer.json()["detail"]


def test_the_files_accounts_are_changed_in_the_file(served: Served) -> None:
    answer = served("PATCH", "/v1/accounts/filed", {"suspended": True})
    assert (answer.status_code, answer.json()["code"]) == (409, "declared_in_file")
    assert served("GET", "/v1/accounts/filed").json()["status"] == "active"


def test_a_name_ends_where_it_seems_to(served: Served) -> None:
    before = set(served.parts.books.book)
    for name in ("acme\n", "acme\n\n", "\nacme", "acme\0", ".", "..", "a/b", "é", "", "a" * 64):
        answer = served("POST", "/v1/accounts", {"name": name})
        assert (answer.status_code, answer.json()["problems"][0]["where"]) == (400, "body.name"), name
    for path in ("/v1/accounts/filed%0A", "/v1/accounts/filed%00", "/v1/accounts/fil%C3%A9d"):
        assert served("GET", path).status_code == 400, path
    assert set(served.parts.books.book) == before


def test_a_plan_that_is_not_there_is_refused(served: Served, name: str) -> None:
    answer = served("PATCH", f"/v1/accounts/{name}", {"plan": "enterprise"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_value")


def test_lists_go_on_by_cursor_until_next_is_null(served: Served) -> None:
    for _ in range(3):
        served("POST", "/v1/accounts", {"name": next(names)})
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = served("GET", "/v1/accounts", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        assert 1 <= len(page["items"]) <= 2
        seen += [account["name"] for account in page["items"]]
        cursor = page["next"]
    assert seen == sorted(served.parts.books.book)


def test_a_top_up_is_an_entry_and_a_balance(served: Served, name: str) -> None:
    body = {"amount": "25.000000001", "reference": "invoice 7", "note": "grüße", "expires": "2027-01-31T00:00:00Z"}
    made = served("POST", f"/v1/accounts/{name}/topups", body)
    assert made.status_code == 201
    entry = made.json()
    assert entry | {"id": 0, "at": ""} == {
        "id": 0, "account": name, "kind": "topup", "amount": "25.000000001", "at": "", "reference": "invoice 7",
        "note": "grüße", "expires": "2027-01-31T00:00:00Z",
    }  # fmt: skip
    assert served("GET", f"/v1/accounts/{name}").json()["balance"] == "25.000000001"
    assert served("GET", f"/v1/accounts/{name}/entries").json() == {"items": [entry], "next": None}


def test_one_idempotency_key_is_one_top_up_whatever_its_quotes(served: Served, name: str) -> None:
    path = f"/v1/accounts/{name}/topups"
    answers = [
        served("POST", path, {"amount": "10"}, headers={"Idempotency-Key": key})
        for key in (f"{name}-a", f"{name}-a", f'"{name}-a"')
    ]
    assert [answer.status_code for answer in answers] == [201] * 3
    assert answers[0].json() == answers[1].json() == answers[2].json()
    assert served("GET", f"/v1/accounts/{name}").json()["balance"] == "10"
    changed = served("POST", path, {"amount": "11"}, headers={"Idempotency-Key": f"{name}-a"})
    assert (changed.status_code, changed.json()["code"]) == (422, "idempotency_mismatch")
    assert served("GET", f"/v1/accounts/{name}").json()["balance"] == "10"


@pytest.mark.parametrize("key", ["", "x" * 256, "with space", 'one"quote', "é"])
def test_an_idempotency_key_that_could_be_misread_is_refused(served: Served, name: str, key: str) -> None:
    headers = {"Idempotency-Key": key.encode("latin-1")}
    answer = served("POST", f"/v1/accounts/{name}/topups", {"amount": "1"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert served("GET", f"/v1/accounts/{name}").json()["balance"] == "0"


def test_an_adjustment_goes_either_way_and_never_below_what_is_there(served: Served, name: str) -> None:
    path = f"/v1/accounts/{name}/adjustments"
    assert served("POST", path, {"amount": "3", "note": "goodwill"}).json()["amount"] == "3"
    assert served("POST", path, {"amount": "-1.5", "note": "mistake"}).json()["amount"] == "-1.5"
    refused = served("POST", path, {"amount": "-1.500000001", "note": "too much"})
    assert (refused.status_code, refused.json()["code"], refused.json()["available"]) == (
        409, "insufficient_balance", "1.5",
    )  # fmt: skip
    assert served("GET", f"/v1/accounts/{name}").json()["balance"] == "1.5"
    assert "note" in served("POST", path, {"amount": "1"}).json()["detail"]


def test_entries_go_on_by_cursor(served: Served, name: str) -> None:
    for amount in ("1", "2", "3"):
        served("POST", f"/v1/accounts/{name}/topups", {"amount": amount})
    first = served("GET", f"/v1/accounts/{name}/entries", params={"limit": 2}).json()
    rest = served("GET", f"/v1/accounts/{name}/entries", params={"limit": 2, "cursor": first["next"]}).json()
    assert [entry["amount"] for entry in first["items"] + rest["items"]] == ["1", "2", "3"]
    assert rest["next"] is None


@pytest.mark.parametrize(
    "amount",
    [
        "0",
        "0.0",
        "-1",
        "1e3",
        "1.0000000001",
        "9000000000",
        "01234567890",
        "1.",
        ".5",
        "",
        " 1",
        "1\n",
        "١",
        1,
        1.5,
        None,
    ],
)
def test_what_is_no_exact_amount_of_money_is_no_top_up(served: Served, name: str, amount: object) -> None:
    answer = served("POST", f"/v1/accounts/{name}/topups", {"amount": amount})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert answer.json()["problems"][0]["where"] == "body.amount"
    assert served("GET", f"/v1/accounts/{name}").json()["balance"] == "0"


@pytest.mark.parametrize(
    "expires", ["2030-01-01", "2030-01-01T00:00:00", "1969-12-31T23:59:59Z", "soon", 1_900_000_000]
)
def test_a_moment_has_an_offset(served: Served, name: str, expires: object) -> None:
    answer = served("PATCH", f"/v1/accounts/{name}", {"expires": expires})
    assert (answer.status_code, answer.json()["problems"][0]["where"]) == (400, "body.expires")


def test_a_ledger_that_cannot_write_is_said_and_to_be_tried_again(served: Served, parts: Parts, name: str) -> None:
    parts.books.down = True
    answer = served("POST", f"/v1/accounts/{name}/topups", {"amount": "1"})
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (
        503, "ledger_unavailable", "1",
    )  # fmt: skip
    assert served("GET", f"/v1/accounts/{name}").status_code == 200
    assert served.stranger.get("/metrics").status_code == 200


def test_top_ups_that_come_together_are_all_there(served: Served, name: str) -> None:
    """Handlers run in several threads: none of them gets in another's way."""
    from concurrent.futures import ThreadPoolExecutor

    def top_up(number: int) -> int:
        key = {"Idempotency-Key": f"{name}-{number % 20}"}
        return served("POST", f"/v1/accounts/{name}/topups", {"amount": "1"}, headers=key).status_code

    with ThreadPoolExecutor(10) as pool:
        assert set(pool.map(top_up, range(40))) == {201}
    assert served("GET", f"/v1/accounts/{name}").json()["balance"] == "20"

"""Keys as the admin API has them: shown once, changed, given another secret, revoked."""

import pytest
from admin_rig import Parts, Served

UNKNOWN = "key_ffffffffffffffff"


@pytest.fixture
def made(served: Served) -> dict[str, str]:
    """A key of the API."""
    found: dict[str, str] = served("POST", "/v1/keys", {"account": "filed"}).json()["key"]
    return found


def test_a_secret_is_shown_once(served: Served) -> None:
    body = {
        "account": "filed", "name": "ci", "rate": "10/s", "burst": 50, "budget": "5.00", "budget_period": "day",
        "expires": "2030-01-01T00:00:00Z", "token_rate": "200000/m", "models": ["gpt-5*", "openai/o3"],
    }  # fmt: skip
    answer = served("POST", "/v1/keys", body)
    assert answer.status_code == 201
    secret, key = answer.json()["secret"], answer.json()["key"]
    assert key | {"id": "", "created": ""} == {
        "id": "", "account": "filed", "name": "ci", "hint": secret[-4:], "origin": "api", "status": "active",
        "rate": "10/s", "burst": 50, "budget": "5", "budget_period": "day", "budget_used": "0", "budget_resets": None,
        "expires": "2030-01-01T00:00:00Z", "created": "", "token_rate": "200000/m",
        "models": ["gpt-5*", "openai/o3"],
    }  # fmt: skip
    assert answer.headers["cache-control"] == "no-store"
    for path in (f"/v1/keys/{key['id']}", "/v1/keys", "/v1/keys?account=filed", "/v1/config"):
        assert secret not in served("GET", path).text
    assert served("GET", f"/v1/keys/{key['id']}").json() == key


def test_a_certificate_is_a_key_without_a_secret(served: Served) -> None:
    answer = served("POST", "/v1/keys", {"account": "filed", "certificate": "billing.example.com"})
    assert (answer.status_code, answer.json()["secret"]) == (201, "")


def test_a_rate_without_a_burst_has_room_for_one_period(served: Served) -> None:
    key = served("POST", "/v1/keys", {"account": "filed", "rate": "5000/h"}).json()["key"]
    assert (key["rate"], key["burst"]) == ("5000/h", 5_000)


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"burst": 5}, "body.burst"),
        ({"rate": "0/s"}, "body.rate"),
        ({"rate": "1/d", "burst": 1_000}, "body.rate"),
        ({"rate": "100 per s"}, "body.rate"),
        ({"models": []}, "body.models"),
        ({"models": ["gpt 5"]}, "body.models[0]"),
        ({"models": [("x" * 99) + str(n) for n in range(11)]}, "body.models"),
        ({"budget": "0"}, "body.budget"),
        ({"budget_period": "day"}, "body.budget_period"),
        ({"budget": "1", "budget_period": "week"}, "body.budget_period"),
        ({"name": "x" * 64}, "body.name"),
        ({"name": 'quo"te'}, "body.name"),
        ({"secret": "chosen"}, "body"),
        ({"certificate": "sha256:no"}, "body.certificate"),
        ({"account": "a b"}, "body.account"),
    ],
)
def test_what_a_key_cannot_be_is_refused(served: Served, body: dict[str, object], where: str) -> None:
    before = len(served.parts.books.ring)
    answer = served("POST", "/v1/keys", {"account": "filed", **body})
    assert (answer.status_code, answer.json()["problems"][0]["where"]) == (400, where)
    assert len(served.parts.books.ring) == before


def test_a_change_leaves_alone_what_it_does_not_say(served: Served, made: dict[str, str]) -> None:
    path = f"/v1/keys/{made['id']}"
    served("PATCH", path, {"name": "night", "rate": "5/m", "burst": 10, "budget": "2", "budget_period": "month"})
    changed = served("PATCH", path, {"budget": "3"}).json()
    assert (changed["name"], changed["rate"], changed["burst"], changed["budget"], changed["budget_period"]) == (
        "night", "5/m", 10, "3", "month",
    )  # fmt: skip
    cleared = served("PATCH", path, {"rate": None, "budget": None, "budget_period": "", "expires": None}).json()
    assert (cleared["name"], cleared["rate"], cleared["burst"], cleared["budget"]) == ("night", None, None, None)
    assert served("PATCH", path, {"burst": 3}).json()["problems"][0]["where"] == "body.burst"


def test_another_secret_is_a_key_of_its_own_and_the_old_one_has_its_grace(served: Served, made: dict[str, str]) -> None:
    answer = served("POST", f"/v1/keys/{made['id']}/rotate", {"grace_seconds": 3_600})
    assert answer.status_code == 201
    assert answer.json()["key"]["id"] != made["id"]
    assert served("GET", f"/v1/keys/{made['id']}").json()["expires"] is not None
    assert served("POST", f"/v1/keys/{made['id']}/rotate", {"grace_seconds": -1}).status_code == 400
    assert served("POST", f"/v1/keys/{made['id']}/rotate", {"grace_seconds": 31 * 86_400}).status_code == 400


def test_a_key_is_revoked_for_good(served: Served, made: dict[str, str]) -> None:
    for _ in range(2):
        answer = served("POST", f"/v1/keys/{made['id']}/revoke")
        assert (answer.status_code, answer.json()["status"]) == (200, "revoked")
    refused = served("POST", f"/v1/keys/{made['id']}/rotate", {})
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")


def test_the_files_keys_are_changed_in_the_file(served: Served, parts: Parts) -> None:
    filed = next(key.id for key in parts.books.ring.values() if key.origin == "file")
    for method, path, body in (
        ("PATCH", f"/v1/keys/{filed}", {"name": "x"}),
        ("POST", f"/v1/keys/{filed}/rotate", {}),
        ("POST", f"/v1/keys/{filed}/revoke", None),
    ):
        answer = served(method, path, body)
        assert (answer.status_code, answer.json()["code"]) == (409, "declared_in_file"), path


def test_a_key_that_is_not_there_is_not_found(served: Served) -> None:
    for method, path, body in (
        ("GET", f"/v1/keys/{UNKNOWN}", None),
        ("PATCH", f"/v1/keys/{UNKNOWN}", {}),
        ("POST", f"/v1/keys/{UNKNOWN}/rotate", {}),
        ("POST", f"/v1/keys/{UNKNOWN}/revoke", None),
        ("POST", "/v1/keys", {"account": "nobody"}),
        ("GET", "/v1/keys?account=nobody", None),
    ):
        assert served(method, path, body).status_code == 404, path
    assert served("GET", "/v1/keys/sk-live-1234").status_code == 400


def test_keys_of_one_account_go_on_by_cursor(served: Served) -> None:
    served("POST", "/v1/accounts", {"name": "keyring"})
    made = [served("POST", "/v1/keys", {"account": "keyring"}).json()["key"]["id"] for _ in range(3)]
    first = served("GET", "/v1/keys", params={"account": "keyring", "limit": 2}).json()
    rest = served("GET", "/v1/keys", params={"account": "keyring", "limit": 2, "cursor": first["next"]}).json()
    assert [key["id"] for key in first["items"] + rest["items"]] == sorted(made)
    assert rest["next"] is None

"""Where a command finds the gateway and the token, and what it says when it does not."""

from pathlib import Path

import pytest
from fake_gateway import ACCOUNT, TOKEN, Gateway, Run, page

from fastgw.commands.place import find_place, url_of

FILE = '[server]\nadmin = "{admin}"\nstate_dir = "elsewhere"\nworkers = 1000\n[[routes]]\nprice = "${{NOT_SET}}"\n'


def test_the_environment_leads_to_the_gateway_as_it_leads_serve(gateway: Gateway, run: Run) -> None:
    gateway.on("GET /v1/accounts", page(ACCOUNT))
    assert run("account", "list")[0] == 0
    [asked] = gateway.asked
    assert asked["headers"]["authorization"] == f"Bearer {TOKEN}"
    assert asked["headers"]["host"] == gateway.address


def test_a_file_leads_to_it_whatever_else_it_says(
    gateway: Gateway, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FASTGW_ADMIN")
    monkeypatch.delenv("FASTGW_STATE_DIR")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "admin-token").write_text("another-token")
    Path("fastgw.toml").write_text(FILE.format(admin=gateway.address))
    gateway.on("GET /v1/accounts", page(ACCOUNT))
    assert run("account", "list", "-c", "fastgw.toml")[0] == 0
    monkeypatch.setenv("FASTGW_CONFIG", "fastgw.toml")
    assert run("balance")[0] == 0
    assert {asked["headers"]["authorization"] for asked in gateway.asked} == {"Bearer another-token"}


def test_options_win_over_the_environment(gateway: Gateway, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTGW_ADMIN", "127.0.0.1:1")
    monkeypatch.setenv("FASTGW_STATE_DIR", "nowhere")
    gateway.on("GET /v1/accounts", page(ACCOUNT))
    for address in (gateway.address, f"http://{gateway.address}/"):
        assert run("balance", "--admin", address, "--state-dir", "state")[0] == 0
    monkeypatch.setenv("FASTGW_ADMIN_TOKEN", "given")
    assert run("balance", "--admin", gateway.address)[0] == 0
    assert [asked["headers"]["authorization"] for asked in gateway.asked[1:]] == [f"Bearer {TOKEN}", "Bearer given"]


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("127.0.0.1:8081", "http://127.0.0.1:8081"),
        (":8081", "http://127.0.0.1:8081"),
        ("0.0.0.0:8081", "http://127.0.0.1:8081"),
        ("[::]:8081", "http://[::1]:8081"),
        ("[::1]:8081", "http://[::1]:8081"),
        ("gw.example:80", "http://gw.example:80"),
    ],
)
def test_a_listening_address_is_reached_from_this_machine(listen: str, url: str) -> None:
    assert url_of(listen) == url


def test_without_a_gateway_it_ends_with_3_and_says_which_address_was_tried(
    gateway: Gateway, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.close()
    code, out, err = run("balance")
    assert (code, out) == (3, "")
    assert err.startswith(f"fastgw: error: no gateway answers at http://{gateway.address} (FASTGW_ADMIN): ")
    assert "refused" in err
    assert "`fastgw serve`" in err
    monkeypatch.setenv("FASTGW_ADMIN", "off")
    assert run("balance")[::2] == (3, "fastgw: error: the gateway has no admin address: it is off (FASTGW_ADMIN)\n")


def test_without_a_token_it_ends_with_3_and_says_where_it_was_looked_for(
    gateway: Gateway, run: Run, tmp_path: Path
) -> None:
    code, _, err = run("balance", "--state-dir", "none")
    assert code == 3
    assert err.startswith(f"fastgw: error: there is no token {tmp_path}/none/admin-token (state_dir: --state-dir): ")
    (tmp_path / "state" / "admin-token").write_text("\n")
    assert run("balance")[::2] == (3, f"fastgw: error: {tmp_path}/state/admin-token holds no token\n")
    assert gateway.asked == []


def test_the_token_of_another_gateway_is_told_from_other_refusals(gateway: Gateway, run: Run, tmp_path: Path) -> None:
    gateway.on("GET /v1/accounts", (401, {"detail": "Send the token."}))
    code, _, err = run("balance")
    assert code == 1
    assert f"does not know the token of {tmp_path}/state/admin-token" in err
    assert TOKEN not in err


def test_what_is_no_admin_api_is_said_to_be_none(gateway: Gateway, run: Run) -> None:
    gateway.on("GET /v1/accounts", (200, b"<html>"))
    assert run("balance")[::2] == (
        1,
        f"fastgw: error: http://{gateway.address} answers, but it is no admin API of fastgw\n",
    )
    gateway.on("GET /v1/accounts", (502, b"<html>"))
    assert run("balance")[::2] == (1, "fastgw: error: the admin API answered 502 Bad Gateway\n")


def test_a_wrong_file_or_address_ends_with_2(gateway: Gateway, run: Run) -> None:
    Path("fastgw.toml").write_text("[server]\nadmin = 1\n")
    code, _, err = run("balance", "-c", "fastgw.toml")
    assert code == 2
    assert err.startswith("fastgw: error: fastgw.toml:2: server.admin = 1: must be host:port")
    assert run("balance", "-c", "none.toml")[0] == 2
    assert run("balance", "--admin", "nonsense")[0] == 2
    assert gateway.asked == []


def test_a_place_does_not_show_its_token(gateway: Gateway) -> None:
    place = find_place(None, gateway.address, "state", {})
    assert place.token == TOKEN
    assert TOKEN not in repr(place)
    assert "--admin" in repr(place)

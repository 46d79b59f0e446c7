"""Keys and accounts from files: what is declared counts, at every start anew, and what is wrong in them is said."""

import json
import random
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import Upstream
from gateway import NANOS, Gateway, account, eventually, key, run

from fastgw.states import AccountStatus

pytestmark = pytest.mark.slow  # whole gateways, one a test


def lines(path: Path, rows: Iterable[Mapping[str, object]]) -> str:
    """Write one JSON object per line; the path as text."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def soon(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="seconds")


@pytest.mark.slow
def test_a_key_that_is_revoked_or_expired_is_told_so(gateway: Gateway, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"account": "acme", "key": "sk-revoked", "revoked": True},
        {"account": "acme", "key": "sk-expired", "expires": soon(-60)},
        {"account": "acme", "key": "sk-expires", "expires": soon(6)},
        {"account": "acme", "key": "sk-lasting", "expires": soon(3600)},
    ]
    gateway.write(account(), key(), server={"keys_file": lines(tmp_path / "keys.jsonl", rows)})
    gateway.start()
    assert gateway.code("sk-revoked") == "revoked_key"
    assert gateway.code("sk-expired") == "expired_key"
    assert gateway.code("sk-unknown") == "unknown_key"
    assert gateway.code(None) == "missing_key"
    assert [gateway.call(k) for k in ("sk-expires", "sk-lasting", "sk-acme-0001")] == [200] * 3
    eventually(lambda: gateway.call("sk-expires") == 401, 12)
    assert gateway.code("sk-expires") == "expired_key"
    assert gateway.call("sk-lasting") == 200


def test_a_key_taken_out_of_the_file_is_revoked_at_the_next_start(gateway: Gateway, tmp_path: Path) -> None:
    kept, lost = ({"account": "acme", "key": name} for name in ("sk-kept-1", "sk-lost-1"))
    file = tmp_path / "keys.jsonl"
    gateway.write(account(), key(), key("sk-inline"), server={"keys_file": lines(file, [kept, lost])})
    gateway.start()
    assert [gateway.call(k) for k in ("sk-kept-1", "sk-lost-1", "sk-inline")] == [200] * 3
    gateway.stop()
    gateway.write(account(), key(), server={"keys_file": lines(file, [kept])})
    gateway.start()
    assert gateway.call("sk-kept-1") == 200
    assert [gateway.code(k) for k in ("sk-lost-1", "sk-inline")] == ["revoked_key"] * 2
    gateway.stop()
    gateway.write(account(), key("sk-inline"), server={"keys_file": lines(file, [kept, lost])})
    gateway.start()
    assert [gateway.call(k) for k in ("sk-kept-1", "sk-lost-1", "sk-inline")] == [200] * 3, "and is back when declared"


@pytest.mark.slow
def test_an_account_taken_out_is_closed_and_keeps_its_money(gateway: Gateway) -> None:
    gateway.write(account(balance="0.005"), key(), account("other"), key("sk-other", "other"), price="0.001")
    gateway.start()
    assert [gateway.call() for _ in range(2)] == [200] * 2
    gateway.stop()
    gateway.write(account("other"), key("sk-other", "other"), price="0.001")
    gateway.start()
    assert gateway.money()["status"] == AccountStatus.CLOSED
    assert gateway.money()["granted"] == 5 * NANOS // 1000
    assert gateway.money()["captured"] == 2 * NANOS // 1000
    assert gateway.code("sk-acme-0001") == "revoked_key"
    gateway.stop()
    gateway.write(account(balance="0.005"), key(), price="0.001")
    gateway.start()
    assert [gateway.call() for _ in range(4)] == [200] * 3 + [402]


@pytest.mark.parametrize(
    ("keys", "accounts", "message"),
    [
        (
            [{"account": "acme", "key": name} for name in ("sk-first", "sk-second", "sk-first")],
            [],
            "keys.jsonl:3: key: is there already (value not shown)",
        ),
        ([{"account": "acme", "key": "sk-acme-0001"}], [], "keys.jsonl:1: key: is there already (value not shown)"),
        ([{"account": "nobody", "key": "sk-first"}], [], 'keys.jsonl:1: account = "nobody": no account has this name'),
        ([], [{"name": "acme"}], 'accounts.jsonl:1: name = "acme": an account has this name already'),
        ([], [{"name": "b"}, {"name": "b"}], 'accounts.jsonl:2: name = "b": an account has this name already'),
        ([{"account": "acme", "kye": "sk-first"}], [], "keys.jsonl:1: "),
        ([], [{"name": "b", "balance": "-1"}], "accounts.jsonl:1: balance"),
    ],
)
def test_files_that_contradict_themselves_are_refused_with_file_and_line(
    gateway: Gateway,
    tmp_path: Path,
    keys: list[dict[str, object]],
    accounts: list[dict[str, object]],
    message: str,
) -> None:
    server = {
        "keys_file": lines(tmp_path / "keys.jsonl", keys),
        "accounts_file": lines(tmp_path / "accounts.jsonl", accounts),
    }
    gateway.write(account(), key(), server=server)
    gateway.launch("-c", str(gateway.file))
    assert gateway.wait() == 2
    said = gateway.log()
    assert message in said
    assert "Traceback" not in said
    assert "sk-first" not in said, "a key is never shown"
    assert all(line.startswith("fastgw: error: ") for line in said.splitlines())
    assert message in run("check", "-c", str(gateway.file)).stderr


def test_more_keys_than_there_is_room_for_are_an_error(gateway: Gateway, tmp_path: Path) -> None:
    rows = ({"account": "acme", "key": f"sk-{n:07}"} for n in range(101))
    gateway.write(account(), server={"keys_max": 100, "keys_file": lines(tmp_path / "keys.jsonl", rows)})
    gateway.launch("-c", str(gateway.file))
    assert gateway.wait() == 2
    assert "more than 100 keys: raise keys_max" in gateway.log()
    assert "Traceback" not in gateway.log()


@pytest.mark.slow
def test_a_file_that_became_wrong_does_not_keep_a_replaced_keeper_from_serving(
    gateway: Gateway, tmp_path: Path
) -> None:
    file = tmp_path / "keys.jsonl"
    gateway.write(account(), server={"keys_file": lines(file, [{"account": "acme", "key": "sk-acme-0001"}])})
    gateway.start()
    file.write_text("no JSON\n")
    keeper = gateway.children()["keeper"]
    gateway.kill(keeper)
    eventually(lambda: "keys and accounts stay as they were" in gateway.log())
    assert f"{file}:1: is not JSON" in gateway.log()
    eventually(gateway.ready)
    assert gateway.call() == 200
    assert gateway.stop() == 0


@pytest.mark.slow
def test_two_hundred_thousand_keys_load_and_work(gateway: Gateway, upstream: Upstream, tmp_path: Path) -> None:
    number = 200_000
    accounts = ({"name": f"customer-{n}", "balance": "0.001"} for n in range(number // 100))
    keys = (
        {"account": f"customer-{n % (number // 100)}", "key": f"sk-{n:07}", "rate": f"{1 + n % 9}/s"}
        for n in range(number)
    )
    server = {
        "keys_file": lines(tmp_path / "keys.jsonl", keys),
        "accounts_file": lines(tmp_path / "accounts.jsonl", accounts),
    }
    gateway.write(price="0.001", server=server)
    took_s = gateway.start(within_s=60)
    assert gateway.segment().key_count == number
    assert gateway.segment().account_count == number // 100
    said = [int(n.replace(",", "")) for n in re.findall(r"loading keys: ([0-9,]+)\n", gateway.log())]
    assert said == sorted(said)
    assert len(said) >= (took_s > 4), "a line every few seconds"
    sample = random.Random(7).sample(range(1, number // 100 - 1), 150)
    assert [gateway.call(f"sk-{n:07}") for n in (0, number // 100 - 1, *sample[:100])] == [200] * 102
    assert gateway.call(f"sk-{sample[0] + number // 2:07}") == 402, "another key of an account that is used up"
    assert gateway.code(f"sk-{number:07}") == "unknown_key"
    assert upstream.calls == 102
    assert gateway.stop() == 0
    gateway.start(within_s=60)
    assert gateway.segment().key_count == number
    assert gateway.call(f"sk-{sample[0]:07}") == 402
    assert gateway.call(f"sk-{sample[120]:07}") == 200


@pytest.mark.slow
def test_a_long_load_says_how_far_it_is(gateway: Gateway, tmp_path: Path) -> None:
    number = 1_000_000
    keys = ({"account": "acme", "key": f"sk-{n:07}"} for n in range(number))
    gateway.write(account(), server={"keys_file": lines(tmp_path / "keys.jsonl", keys)})
    took_s = gateway.start(within_s=120)
    said = [int(n.replace(",", "")) for n in re.findall(r"loading keys: ([0-9,]+)\n", gateway.log())]
    assert said == sorted(set(said))
    assert len(said) >= min(int(took_s / 3), 1)
    assert gateway.call("sk-0999999") == 200
    assert gateway.segment().used_bytes < 160 << 20

"""Keys and accounts from files of one JSON object per line."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from config_files import MINIMAL

from fastgw.config.load import read
from fastgw.config.record_files import PROBLEMS_MAX, Counts, check_files, iter_accounts, iter_keys
from fastgw.model import Account, ConfigError, Key, Rate, Secret

FILES = '[server]\naccounts_file = "accounts.jsonl"\nkeys_file = "keys.jsonl"\n' + MINIMAL
INLINE = '[[accounts]]\nname = "inline"\n[[keys]]\naccount = "inline"\nkey = "sk-inline-1"\n'


def keys_of(text: str) -> Iterator[Key]:
    Path("keys.jsonl").write_text(text)
    return iter_keys("keys.jsonl")


def test_a_line_has_the_fields_of_a_key() -> None:
    lines = (
        '{"account": "acme", "key": "sk-acme-0001"}\n'
        "\n"
        '{"account":"acme","key":"sk-acme-0002","name":"ci","rate":"10/s","burst":20,'
        '"expires":"2027-01-01T01:00:00+01:00","revoked":true}\n'
        '{"account":"acme","key":"sk-acme-0003","models":["gpt-5*","o3"]}\n'
        '{"account":"acme","key":"sk-acme-0004","models":["gpt-5*","*"]}'
    )
    assert list(keys_of(lines)) == [
        Key("acme", Secret("sk-acme-0001"), "", None, 0, False),
        Key("acme", Secret("sk-acme-0002"), "ci", Rate(10, 10**9, 20), 1798761600, True),
        Key("acme", Secret("sk-acme-0003"), "", None, 0, False, models=("gpt-5*", "o3")),
        Key("acme", Secret("sk-acme-0004"), "", None, 0, False),
    ]


def test_a_line_has_the_fields_of_an_account() -> None:
    Path("accounts.jsonl").write_text('{"name":"a"}\n{"name":"b","balance":"0.5","credit":2}\n')
    assert list(iter_accounts("accounts.jsonl")) == [Account("a", 0, 0), Account("b", 5 * 10**8, 2 * 10**9)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "is not JSON: "),
        ("[]", "Expected `object`, got `array`"),
        ('{"account":"a"}', "missing required field `key`"),
        ('{"account":"a","key":"sk-secret","kye":1}', "unknown field `kye`"),
        ('{"account":1,"key":"sk-secret"}', "account: Expected `str`, got `int`"),
        ('{"account":"a b","key":"sk-secret"}', "account: must be 1 to 63 of"),
        ('{"account":"a","key":"sk-s ecret"}', "key: must be 8 to 256 printable ASCII"),
        ('{"account":"a","key":"sk-"}', "key: must be 8 to 256 printable ASCII"),
        ('{"account":"a","key":"sk-secret","models":["a b"]}', "models: each must be 1 to 127 of"),
        ('{"account":"a","key":"sk-secret","rate":"x"}', "rate: must be a whole number"),
        ('{"account":"a","key":"sk-secret","rate":"1/s","burst":0}', "burst: must be an integer from 1"),
        (
            '{"account":"a","key":"sk-secret","rate":"1/d","burst":1000}',
            "burst: a burst must refill within 366 days",
        ),
        ('{"account":"a","key":"sk-secret","burst":1}', "burst: needs a rate"),
        (
            '{"account":"a","key":"sk-secret","expires":"2027-01-01T00:00:00"}',
            "expires: Expected `datetime` with a timezone",
        ),
        ('{"account":"a","key":"sk-secret","expires":"soon"}', "expires: Invalid RFC3339"),
        (
            '{"account":"a","key":"sk-secret","expires":"1969-01-01T00:00:00Z"}',
            "expires: must be later than 1970",
        ),
        ('{"account":"a","key":"sk-secret","name":"\\u0000"}', "name: must be 1 to 63"),
    ],
)
def test_a_wrong_key_is_refused_by_its_line_without_being_shown(line: str, message: str) -> None:
    keys = keys_of('{"account":"a","key":"sk-first-1"}\n\n' + line + "\n")
    assert next(keys).account == "a"
    with pytest.raises(ConfigError) as caught:
        next(keys)
    [problem] = caught.value.problems
    assert problem.where == "keys.jsonl:3"
    assert message in problem.message
    assert "sk-" not in str(problem)


def test_bytes_that_are_not_text_are_refused() -> None:
    Path("keys.jsonl").write_bytes(b'{"account":"a","key":"sk-\xff\xff\xff\xff\xff\xff"}\n')
    with pytest.raises(ConfigError, match=r"^keys\.jsonl:1: "):
        list(iter_keys("keys.jsonl"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"balance":"1"}', "missing required field `name`"),
        ('{"name":""}', "name: must be 1 to 63"),
        (
            '{"name":"a","balance":0.5}',
            'balance: a bare decimal is a float and not exact; write it as a string: "0.5"',
        ),
        ('{"name":"a","balance":"-1"}', "balance: must not be negative"),
        ('{"name":"a","credit":"1e3"}', "credit: must be an amount"),
        (
            '{"name":"a","balance":9000000000,"credit":1}',
            "credit: balance and credit together must be at most",
        ),
        ('{"name":"a","balance":null}', "balance: Expected"),
    ],
)
def test_a_wrong_account_is_refused_by_its_line(line: str, message: str) -> None:
    Path("accounts.jsonl").write_text(line)
    with pytest.raises(ConfigError) as caught:
        list(iter_accounts("accounts.jsonl"))
    [problem] = caught.value.problems
    assert problem.where == "accounts.jsonl:1"
    assert message in problem.message


def test_a_file_that_is_gone_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^keys\.jsonl: cannot be read: No such file"):
        list(iter_keys("keys.jsonl"))


def check(accounts: str, keys: str, tables: str = INLINE, server: str = "") -> Counts:
    Path("accounts.jsonl").write_text(accounts)
    Path("keys.jsonl").write_text(keys)
    Path("fastgw.toml").write_text(FILES.replace("[server]\n", f"[server]\n{server}") + tables)
    loaded = read("fastgw.toml", {}, {})
    return check_files(loaded.config, loaded.locate)


def test_a_check_counts_the_records_of_the_files_too() -> None:
    keys = '{"account":"filed","key":"sk-filed-1"}\n{"account":"inline","key":"sk-filed-2"}\n'
    assert check('{"name":"filed"}\n', keys) == Counts(accounts=2, keys=3)


@pytest.mark.parametrize(
    ("accounts", "keys", "expected"),
    [
        ('{"name":"inline"}', "", ['accounts.jsonl:1: name = "inline": an account has this name already']),
        (
            '{"name":"a"}\n{"name":"a"}',
            "",
            ['accounts.jsonl:2: name = "a": an account has this name already'],
        ),
        ("", '{"account":"b","key":"sk-filed-1"}', ['keys.jsonl:1: account = "b": no account has this name']),
        (
            "",
            '{"account":"inline","key":"sk-inline-1"}',
            ["keys.jsonl:1: key: is there already (value not shown)"],
        ),
        (
            "{",
            '{"account":"inline","key":"x"}\n\n{"account":"none","key":"sk-filed-1"}',
            [
                "accounts.jsonl:1: is not JSON: ",
                "keys.jsonl:1: key: must be",
                'keys.jsonl:3: account = "none"',
            ],
        ),
    ],
)
def test_a_check_tells_all_that_is_wrong_in_the_files(accounts: str, keys: str, expected: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        check(accounts, keys)
    problems = [str(problem).removeprefix(f"{os.getcwd()}/") for problem in caught.value.problems]
    assert len(problems) == len(expected)
    for problem, start in zip(problems, expected, strict=True):
        assert problem.startswith(start)


def test_a_check_finds_the_account_of_a_key_of_the_configuration() -> None:
    with pytest.raises(ConfigError) as caught:
        check("", "", tables='[[keys]]\naccount = "gone"\nkey = "sk-inline-1"\n')
    assert str(caught.value) == 'fastgw.toml:14: keys[0].account = "gone": no account has this name'


def test_a_check_finds_more_records_than_there_is_room_for() -> None:
    with pytest.raises(ConfigError, match=r"keys\.jsonl: with it there are 2 keys, more than server\.keys_max = 1"):
        check("", '{"account":"inline","key":"sk-filed-1"}', server="keys_max = 1\n")


def test_a_check_of_a_wholly_wrong_file_ends_early() -> None:
    with pytest.raises(ConfigError) as caught:
        check("", "{\n" * 1000)
    assert len(caught.value.problems) == PROBLEMS_MAX

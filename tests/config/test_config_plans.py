"""What plans may say, and what accounts, keys and routes say about plans, budgets, charging and repeated calls."""

import os
from pathlib import Path

import pytest
from config_files import MINIMAL, ROUTE, Accept, Refuse

from fastgw.config.load import read
from fastgw.config.plans import PLANS_MAX
from fastgw.config.record_files import check_files, iter_accounts, iter_keys
from fastgw.model import Account, ConfigError, Key, Plan, Rate, Secret

PLAN = '[[plans]]\nname = "gold"\n'
ACCOUNT = '[[accounts]]\nname = "acme"\n'
KEY = '[[keys]]\naccount = "acme"\nkey = "sk-acme-0001"\n'
SECOND = 10**9


def test_a_plan_says_what_accounts_have_in_common(accept: Accept) -> None:
    text = """
rate = "100/s"
burst = 300
requests_per_day = 1
requests_per_month = 50000
timezone = "America/New_York"
allowance = "12.50"
prices = { r = "0.002", "s" = 0 }
"""
    second = ROUTE.replace('"r"', '"s"').replace("/v1", "/v2")
    assert accept(MINIMAL + second + PLAN + text).plans == (
        Plan(
            name="gold",
            rate=Rate(100, SECOND, 300),
            day_quota=1,
            month_quota=50_000,
            timezone="America/New_York",
            allowance_nanos=12_500_000_000,
            prices=(("r", 2_000_000), ("s", 0)),
        ),
    )


def test_a_plan_needs_nothing_but_a_name(accept: Accept) -> None:
    assert accept(MINIMAL + PLAN).plans == (Plan("gold", None, 0, 0, "UTC", 0, ()),)
    assert accept(MINIMAL).plans == ()


# The line under test is always the third of its table, on line 12 of the file.
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("requests_per_day = 0", "plans[0].requests_per_day = 0: must be an integer from 1 to 1000000000000; leave it"),
        ('requests_per_month = "9"', 'plans[0].requests_per_month = "9": must be an integer from 1'),
        ("requests_per_month = 1000000000001", "must be an integer from 1 to 1000000000000"),
        ("requests_per_day = true", "plans[0].requests_per_day = true: must be an integer"),
        (
            'timezone = "Europe/Madird"',
            'plans[0].timezone = "Europe/Madird": must be a time zone of the IANA database, did you mean Europe/Mad',
        ),
        ('timezone = "../etc/passwd"', "must be a time zone of the IANA database"),
        ('timezone = "Europe"', "must be a time zone of the IANA database"),
        ('timezone = "/etc/localtime"', "must be a time zone of the IANA database"),
        ('timezone = ""', "must be a time zone of the IANA database"),
        ("timezone = 1", "plans[0].timezone = 1: must be a time zone"),
        ("burst = 5", "plans[0].burst = 5: needs a rate"),
        ("allowance = 0.5", 'plans[0].allowance = 0.5: a bare decimal is a float and not exact; write it as a string'),
        ('allowance = "-1"', 'plans[0].allowance = "-1": must not be negative'),
        ('prices = "0.1"', "plans[0].prices = \"0.1\": must be a table"),
        ('prices = { rr = "0.1" }', 'plans[0].prices.rr = "0.1": no route has this name; there is r'),
        ("prices = { r = 0.1 }", "plans[0].prices.r = 0.1: a bare decimal is a float"),
        ('prices.r.x = "0.1"', "plans[0].prices.r = {…}: must be an amount"),
        ('pirces = { r = "0.1" }', "plans[0].pirces: unknown, did you mean prices?"),
    ],
)  # fmt: skip
def test_a_wrong_line_of_a_plan_is_refused_by_its_place(refuse: Refuse, line: str, message: str) -> None:
    [problem] = refuse(f"{MINIMAL}{PLAN}{line}\n")
    assert problem.startswith("fastgw.toml:12: ")
    assert message in problem


@pytest.mark.parametrize(
    ("text", "start"),
    [
        (PLAN + PLAN, 'fastgw.toml:13: plans[1].name = "gold": is already taken at fastgw.toml:11'),
        ("[[plans]]\nrate = '1/s'\n", "fastgw.toml:10: plans[0].name: is missing"),
        (
            PLAN + ACCOUNT + 'plan = "golden"\n',
            'fastgw.toml:14: accounts[0].plan = "golden": no plan has this name; there is gold',
        ),
        (
            ACCOUNT + 'plan = "gold"\n',
            'fastgw.toml:12: accounts[0].plan = "gold": no plan has this name; there is none',
        ),
        (ACCOUNT + "suspended = 1\n", "fastgw.toml:12: accounts[0].suspended = 1: must be true or false"),
        (
            ACCOUNT + 'expires = "2027-01-01"\n',
            'fastgw.toml:12: accounts[0].expires = "2027-01-01": must be a date and time with offset',
        ),
        (
            ACCOUNT + KEY + 'budget_period = "day"\n',
            'fastgw.toml:15: keys[0].budget_period = "day": needs a budget',
        ),
        (ACCOUNT + KEY + "budget = 0\n", "fastgw.toml:15: keys[0].budget = 0: must be more than 0"),
        (ACCOUNT + KEY + "budget = 0.5\n", "fastgw.toml:15: keys[0].budget = 0.5: a bare decimal is a float"),
        (
            ACCOUNT + KEY + 'budget = "1"\nbudget_period = "week"\n',
            'fastgw.toml:16: keys[0].budget_period = "week": must be "day" or "month"',
        ),
    ],
)
def test_a_wrong_document_is_refused_by_its_place(refuse: Refuse, text: str, start: str) -> None:
    [problem] = refuse(MINIMAL + text)
    assert problem.startswith(start)


def test_more_plans_than_there_is_room_for_are_refused(refuse: Refuse) -> None:
    plans = "".join(f'[[plans]]\nname = "p{n}"\n' for n in range(PLANS_MAX + 1))
    [problem] = refuse(MINIMAL + plans)
    assert problem == "fastgw.toml:10: plans: there are 1025 plans, at most 1024 are possible"


def test_a_plan_has_no_price_for_a_route_without_callers(refuse: Refuse) -> None:
    [problem] = refuse(MINIMAL + 'auth = "none"\n' + PLAN + 'prices = { r = "0.1" }\n')
    assert problem == (
        'fastgw.toml:13: plans[0].prices.r = "0.1": the route has auth "none" and knows no caller to charge'
    )


def test_accounts_and_keys_have_plans_ends_and_budgets(accept: Accept) -> None:
    account = ACCOUNT + 'plan = "gold"\nexpires = 2027-01-01T00:00:00Z\nsuspended = true\n'
    key = KEY + 'budget = "5.00"\nbudget_period = "month"\n'
    config = accept(MINIMAL + PLAN + account + key)
    assert config.accounts == (Account("acme", 0, 0, "gold", 1798761600, True),)
    assert config.keys == (Key("acme", Secret("sk-acme-0001"), "", None, 0, False, 5 * SECOND, "month"),)
    once = accept(MINIMAL + ACCOUNT + KEY + "budget = 5\n").keys[0]
    assert (once.budget_nanos, once.budget_period) == (5 * SECOND, "")


# Routes


def test_a_route_says_what_is_charged_and_for_how_long_a_call_is_known_by_its_key(accept: Accept) -> None:
    route = accept(MINIMAL).routes[0]
    assert (route.charge, route.cost_header, route.units_header) == ("served", "", "")
    assert (route.unit_price_nanos, route.idempotency_window_ms) == (0, 0)
    text = 'price = 1\ncharge = "2xx"\nunits_header = "X-Units"\nunit_price = "0.001"\nidempotency = "24h"\n'
    route = accept(MINIMAL + text).routes[0]
    assert (route.charge, route.cost_header, route.units_header) == ("2xx", "", "x-units")
    assert (route.unit_price_nanos, route.idempotency_window_ms) == (1_000_000, 86_400_000)
    route = accept(MINIMAL + 'price = 1\ncharge = "always"\ncost_header = "x-cost"\nidempotency = 0\n').routes[0]
    assert (route.charge, route.cost_header, route.idempotency_window_ms) == ("always", "x-cost", 0)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('charge = "never"', 'routes[0].charge = "never": must be "served" or "2xx" or "always"'),
        ('cost_header = "content-length"', 'routes[0].cost_header = "content-length": must be the name of an end-to-'),
        ('cost_header = "x cost"', "must be the name of an end-to-end header of the upstream's answer"),
        ('cost_header = ""', "must be the name of an end-to-end header"),
        (
            'cost_header = "a"\nunits_header = "b"\nunit_price = 1',
            "routes[0].units_header: an upstream names the cost or the units, and cost_header is there too",
        ),
        ('units_header = "b"', 'routes[0].units_header = "b": needs a unit_price'),
        ("unit_price = 1", "routes[0].unit_price = 1: needs a units_header, which says how many units"),
        ('units_header = "b"\nunit_price = 0', "routes[0].unit_price = 0: must be more than 0"),
        ('idempotency = "500ms"', 'routes[0].idempotency = "500ms": must be a duration from 1s to 7d, or 0 (off)'),
        ('idempotency = "8d"', "must be a duration from 1s to 7d"),
        ("idempotency = true", "routes[0].idempotency = true: must be a duration"),
    ],
)
def test_a_wrong_line_of_charging_is_refused_by_its_place(refuse: Refuse, lines: str, message: str) -> None:
    [problem] = refuse(f"{MINIMAL}price = 1\n{lines}\n")
    assert problem.startswith(("fastgw.toml:11: ", "fastgw.toml:12: "))
    assert message in problem


def test_a_route_says_what_it_may_be_upgraded_to_and_what_a_tunnel_costs(accept: Accept) -> None:
    route = accept(MINIMAL).routes[0]
    assert (route.upgrades, route.minute_price_nanos, route.mib_price_nanos) == (("websocket",), 0, 0)
    text = 'upgrades = ["WebSocket", "IRC/6.9"]\nminute_price = "0.002"\nmib_price = "0.000000001"\n'
    route = accept(MINIMAL + text).routes[0]
    assert (route.upgrades, route.minute_price_nanos, route.mib_price_nanos) == (("websocket", "irc/6.9"), 2_000_000, 1)
    assert accept(MINIMAL + "upgrades = []\n").routes[0].upgrades == ()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        *((f'upgrades = ["{name}"]', f'.upgrades[0] = "{name}": must be the name of a protocol like "websocket"')
          for name in ("h2c", "H2C", "HTTP/2.0", "h2", "h3", "tls/1.2", "HTTPS", "", "web socket", "a/b/c", "/b")),
        ("upgrades = [1]", "upgrades[0] = 1: must be the name of a protocol"),
        ('upgrades = "websocket"', "must be an array"),
        ('upgrades = ["WebSocket", "websocket"]', "is there twice"),
        ("upgrades = []\nminute_price = 1", "minute_price = 1: is of a tunnel, and upgrades names no protocol"),
        ("upgrades = []\nmib_price = 1", "mib_price = 1: is of a tunnel"),
        ("minute_price = 0", "minute_price = 0: must be more than 0"),
        ("mib_price = -1", "mib_price = -1: must"),
    ],
)  # fmt: skip
def test_a_wrong_line_of_tunnels_is_refused_by_its_place(refuse: Refuse, lines: str, message: str) -> None:
    [problem] = refuse(f"{MINIMAL}{lines}\n")
    assert message in problem


@pytest.mark.parametrize(
    "line", ['charge = "2xx"', 'cost_header = "x-cost"', 'idempotency = "1h"', "minute_price = 1", "mib_price = 1"]
)
def test_a_route_without_callers_charges_nobody(refuse: Refuse, line: str) -> None:
    [problem] = refuse(f'{MINIMAL}auth = "none"\n{line}\n')
    assert problem.startswith("fastgw.toml:11: routes[0].")
    assert 'a route with auth "none" knows no caller to charge or limit' in problem


def test_what_an_upstream_says_needs_a_price_of_the_route_or_of_a_plan(accept: Accept, refuse: Refuse) -> None:
    text = MINIMAL + 'cost_header = "x-cost"\n'
    [problem] = refuse(text)
    assert problem == (
        'fastgw.toml:10: routes[0].cost_header = "x-cost": needs a price: it is held before the call, and the most '
        "that is charged"
    )
    assert len(refuse(text + PLAN + "prices = { r = 0 }\n")) == 1
    accept(text + PLAN + "prices = { r = 1 }\n")


# Files of one JSON object per line


def test_a_line_of_a_file_has_a_plan_an_end_and_a_budget() -> None:
    Path("accounts.jsonl").write_text('{"name":"a","plan":"gold","expires":"2027-01-01T00:00:00Z","suspended":true}\n')
    Path("keys.jsonl").write_text('{"account":"a","key":"sk-filed-1","budget":"0.5","budget_period":"day"}\n')
    assert list(iter_accounts("accounts.jsonl")) == [Account("a", 0, 0, "gold", 1798761600, True)]
    assert list(iter_keys("keys.jsonl")) == [Key("a", Secret("sk-filed-1"), "", None, 0, False, 5 * 10**8, "day")]


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("accounts", '{"name":"a","plan":"platinum"}', 'plan = "platinum": no plan has this name; there is gold'),
        ("accounts", '{"name":"a","plan":"Gold Plan"}', "plan: must be 1 to 63 of a-z 0-9 _ . -"),
        ("accounts", '{"name":"a","expires":"2027-01-01"}', "expires: Invalid RFC3339"),
        ("accounts", '{"name":"a","suspended":"no"}', "suspended: Expected `bool`"),
        ("keys", '{"account":"b","key":"sk-filed-1","budget":0}', "budget: must be more than 0"),
        ("keys", '{"account":"b","key":"sk-filed-1","budget":0.5}', "budget: a bare decimal is a float"),
        ("keys", '{"account":"b","key":"sk-filed-1","budget_period":"day"}', "budget_period: needs a budget"),
        (
            "keys",
            '{"account":"b","key":"sk-filed-1","budget":1,"budget_period":"hour"}',
            'budget_period: must be "day" or "month"',
        ),
    ],
)
def test_a_wrong_line_of_a_file_is_refused_by_its_number(file: str, line: str, message: str) -> None:
    Path("fastgw.toml").write_text(
        f'[server]\naccounts_file = "accounts.jsonl"\nkeys_file = "keys.jsonl"\n{MINIMAL}{PLAN}'
    )
    Path("accounts.jsonl").write_text('{"name":"b","plan":"gold"}\n')
    Path("keys.jsonl").write_text("\n")
    with open(f"{file}.jsonl", "a") as lines:
        lines.write(f"{line}\n")
    loaded = read("fastgw.toml", {}, {})
    with pytest.raises(ConfigError) as caught:
        check_files(loaded.config, loaded.locate)
    [problem] = caught.value.problems
    assert problem.where == f"{os.getcwd()}/{file}.jsonl:2"
    assert problem.message.startswith(message)

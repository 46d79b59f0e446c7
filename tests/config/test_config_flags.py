"""What a route given by flags alone means."""

from pathlib import Path

import pytest
from config_files import MINIMAL, UPSTREAM, Accept, Refuse

from fastgw.model import Account, Rate, Secret, Target

URL = "http://127.0.0.1:9001"
FREE = {"upstream": URL, "key": ("sk-acme-0001",)}


def test_flags_alone_make_one_upstream_one_route_one_account_and_the_keys(accept: Accept) -> None:
    config = accept(
        None,
        {
            "upstream": URL,
            "path": "/v1",
            "price": "0.001",
            "rate": "100/s",
            "burst": "200",
            "key": ("sk-acme-0001", "sk-acme-0002"),
            "balance": "100.00",
            "dialect": "openai",
            "set_header": ("Authorization: Bearer ${TOKEN}", "x-a:1"),
            "workers": "3",
        },
        {"TOKEN": "t"},
    )
    [upstream], [route] = config.upstreams, config.routes
    assert (upstream.name, upstream.targets) == ("default", (Target("127.0.0.1", 9001, "127.0.0.1:9001"),))
    assert (route.name, route.upstream, route.path, route.auth) == ("default", "default", "/v1", "key")
    assert (route.price_nanos, route.rate, route.dialect) == (1_000_000, Rate(100, 10**9, 200), "openai")
    assert route.set_headers == (("authorization", "Bearer t"), ("x-a", "1"))
    assert config.accounts == (Account("default", 100 * 10**9, 0),)
    assert [(key.account, key.name, key.key) for key in config.keys] == [
        ("default", "key-1", Secret("sk-acme-0001")),
        ("default", "key-2", Secret("sk-acme-0002")),
    ]
    assert config.server.workers == 3


def test_the_environment_alone_is_enough_and_holds_several_keys(accept: Accept) -> None:
    environ = {
        "FASTGW_UPSTREAM": URL,
        "FASTGW_KEY": "sk-acme-0001, sk-acme-0002,",
        "FASTGW_PRICE": "1",
        "FASTGW_BALANCE": "5",
        "FASTGW_SET_HEADER": "a: 1\nb: 2",
        "FASTGW_RATE": "",
    }
    config = accept(None, {}, environ)
    assert [key.key.reveal() for key in config.keys] == ["sk-acme-0001", "sk-acme-0002"]
    assert config.routes[0].price_nanos == 10**9
    assert config.routes[0].set_headers == (("a", "1"), ("b", "2"))
    assert config.routes[0].rate is None


def test_a_flag_wins_over_its_variable(accept: Accept) -> None:
    config = accept(None, FREE | {"path": "/flag"}, {"FASTGW_PATH": "/variable", "FASTGW_KEY": "sk-other-0001"})
    assert config.routes[0].path == "/flag"
    assert [key.key.reveal() for key in config.keys] == ["sk-acme-0001"]


@pytest.mark.parametrize("flags", [{"upstream": URL, "no_auth": True}, {"upstream": URL}])
def test_without_auth_there_is_no_account_and_no_key(accept: Accept, flags: dict[str, object]) -> None:
    config = accept(None, flags, {"FASTGW_NO_AUTH": "1"})
    assert (config.routes[0].auth, config.routes[0].path, config.accounts, config.keys) == (
        "none",
        "/",
        (),
        (),
    )


def test_a_file_with_settings_only_goes_with_a_route_of_flags(accept: Accept) -> None:
    config = accept("[server]\nworkers = 2\n", FREE)
    assert (config.server.workers, config.routes[0].name) == (2, "default")


def test_keys_may_come_from_a_file_instead(accept: Accept) -> None:
    Path("keys.jsonl").touch()
    assert accept(None, {"upstream": URL, "keys_file": "keys.jsonl"}).keys == ()


def test_a_price_of_zero_needs_no_balance(accept: Accept) -> None:
    assert accept(None, FREE | {"price": "0.00"}).routes[0].price_nanos == 0


@pytest.mark.parametrize(
    ("flags", "environ", "start"),
    [
        ({}, {}, "--upstream: is missing: give it, or --provider NAME, or -c FILE"),
        ({"upstream": URL}, {}, "--upstream: nobody could call: add --key KEY (or FASTGW_KEY)"),
        ({}, {"FASTGW_UPSTREAM": URL}, "FASTGW_UPSTREAM: nobody could call: add --key"),
        ({"price": "1"}, {}, "--price: describes the route of --upstream URL, which is missing"),
        ({}, {"FASTGW_RATE": "1/s"}, "FASTGW_RATE: describes the route of --upstream URL, which is missing"),
        (FREE | {"price": "1"}, {}, '--price: routes[0].price = "1": needs --balance AMOUNT'),
        (FREE | {"price": "x"}, {}, '--price: routes[0].price = "x": must be an amount'),
        (
            FREE | {"price": "1", "balance": "-1"},
            {},
            '--balance: accounts[0].balance = "-1": must not be negative',
        ),
        (FREE | {"rate": "1"}, {}, '--rate: routes[0].rate = "1": must be a whole number'),
        (FREE | {"burst": "9"}, {}, "--burst: routes[0].burst = 9: needs a rate"),
        (
            FREE | {"rate": "1/s", "burst": "x"},
            {},
            '--burst: routes[0].burst = "x": must be an integer from 1',
        ),
        (FREE | {"path": "v1"}, {}, '--path: routes[0].path = "v1": must be a path that starts with "/"'),
        (
            FREE | {"dialect": "x"},
            {},
            '--dialect: routes[0].dialect = "x": must be "problem" or "openai" or "anthropic"',
        ),
        (
            FREE | {"upstream": "localhost:80"},
            {},
            '--upstream: upstreams[0].targets[0] = "localhost:80": must be http',
        ),
        ({"upstream": URL, "key": ("short",)}, {}, "--key: keys[0].key: must be 8 to 256"),
        ({"upstream": URL}, {"FASTGW_KEY": "short"}, "FASTGW_KEY: keys[0].key: must be 8 to 256"),
        (
            {"upstream": URL, "key": ("sk-twice-1", "sk-twice-1")},
            {},
            "--key: keys[1].key: is the same as keys[0].key",
        ),
        (FREE | {"no_auth": True}, {}, "--key: has no meaning together with --no-auth"),
        (
            {"upstream": URL, "no_auth": True, "balance": "1"},
            {},
            "--balance: has no meaning together with --no-auth",
        ),
        (
            {"upstream": URL, "no_auth": True, "price": "1"},
            {},
            '--price: routes[0].price = "1": a route with auth "none"',
        ),
        (
            {"upstream": URL, "no_auth": True, "rate": "1/s"},
            {},
            '--rate: routes[0].rate = "1/s": a route with auth "none"',
        ),
        ({"upstream": URL}, {"FASTGW_NO_AUTH": "maybe"}, "FASTGW_NO_AUTH: must be 1 or 0"),
        ({"upstream": URL}, {"FASTGW_NO_AUTH": "0"}, "--upstream: nobody could call"),
        (FREE | {"set_header": ("sk-provider",)}, {}, '--set-header: must be written "Name: value"'),
        (FREE | {"set_header": ("a: 1", "A: 2")}, {}, "--set-header: A is there twice"),
        (
            FREE | {"set_header": ("a: ${NONE}",)},
            {},
            "--set-header: routes[0].set_headers.a: the environment has no NONE",
        ),
        (
            FREE | {"set_header": ("Host: a",)},
            {},
            "--set-header: routes[0].set_headers.Host: belongs to the connection",
        ),
    ],
)
def test_a_wrong_flag_is_refused_by_its_name(
    refuse: Refuse, flags: dict[str, object], environ: dict[str, str], start: str
) -> None:
    problems = refuse(None, flags, environ)
    assert any(problem.startswith(start) for problem in problems), problems
    for secret in ("short", "sk-twice", "sk-provider"):
        assert secret not in "".join(problems)


@pytest.mark.parametrize(
    ("text", "flags", "start"),
    [
        (MINIMAL, FREE, "--upstream: fastgw.toml has [[upstreams]] already; describe routes in one place"),
        (UPSTREAM, FREE, "--upstream: fastgw.toml has [[upstreams]] already"),
        (
            MINIMAL,
            {"price": "1"},
            "--price: describes the route of --upstream, but the routes are in fastgw.toml",
        ),
    ],
)
def test_routes_come_from_the_file_or_from_flags_never_from_both(
    refuse: Refuse, text: str, flags: dict[str, object], start: str
) -> None:
    [problem] = refuse(text, flags)
    assert problem.startswith(start)

"""What [[models]] may say, which names callers may use, what each costs, and what routes to models come to."""

import pytest
from config_files import UPSTREAM, Accept, Refuse

from fastgw.model import Config, Price
from fastgw.units import NANOS_PER_UNIT

PROVIDERS = """
[[providers]]
name = "one"
url = "https://one.example/v1"
models = ["a", "shared", "two/b"]
price = { input = "1", output = "2" }

[[providers]]
name = "two"
url = "https://two.example/v1"
models = ["b", "shared"]
price = { input = "3", output = "4", cached = "0.5" }
markup = "10%"
"""
ROUTE = '\n[[routes]]\nname = "ai"\npath = "/v1/"\nmodels = ["*"]\n'


def model(lines: str) -> str:
    return f'{PROVIDERS}\n[[models]]\nname = "m"\n{lines}\n{ROUTE}'


def served(config: Config, name: str = "m") -> list[tuple[str, int, int]]:
    [found] = [each for each in config.models if each.name == name]
    return [(f"{each.provider}/{each.model}", each.rank, each.weight) for each in found.candidates]


def price(config: Config, name: str = "m", index: int = 0) -> Price:
    return next(each for each in config.models if each.name == name).candidates[index].price


def test_a_bare_name_means_the_first_provider_that_has_it(accept: Accept) -> None:
    config = accept(PROVIDERS + ROUTE)
    assert served(config, "shared") == [("one/shared", 0, 1)]
    assert served(config, "two/shared") == [("two/shared", 0, 1)]
    assert served(config, "b") == [("two/b", 0, 1)]
    assert served(config, "two/b") == [("two/b", 0, 1)]  # whole, not the one's "two/b"
    assert served(config, "one/two/b") == [("one/two/b", 0, 1)]
    listed = [each.name for each in config.models if each.listed]
    assert sorted(listed) == ["a", "b", "one/two/b", "shared", "two/shared"]


def test_a_pattern_means_no_model_that_is_retired_but_its_name_does(accept: Accept) -> None:
    openai = '[[providers]]\nname = "openai"\nkeys = ["sk-1"]\nmodels = {}\n' + ROUTE
    names = [each.name for each in accept(openai.format('["*"]')).models if each.listed]
    assert {"gpt-5.2", "text-embedding-3-small", "gpt-5-2025-08-07"} <= set(names)
    assert not {"ada", "gpt-4", "gpt-3.5-turbo", "o1", "gpt-5-2"} & set(names)
    gone = accept(openai.format('["gpt-5*", "gpt-4"]'))
    assert [each.name for each in gone.models if each.name.startswith("gpt-4")] == ["gpt-4"]
    google = openai.replace("openai", "gemini").format('["*"]')
    assert not [each.name for each in accept(google).models if "gemini-2.0" in each.name or "gemini-1" in each.name]


def test_a_model_has_its_targets_in_order_and_by_weight(accept: Accept) -> None:
    config = accept(model('targets = ["one/a", ["two/b", { model = "two/c", weight = 3 }], { model = "one/z" }]'))
    assert served(config) == [("one/a", 0, 1), ("two/b", 1, 1), ("two/c", 1, 3), ("one/z", 2, 1)]
    [found] = [each for each in config.models if each.name == "m"]
    assert (found.max_tokens, found.limit_tokens, found.hold_step, found.shrink) == (4096, 0, 0, False)
    assert found.fallback_on == ("connect", "401", "429", "5xx")


def test_a_table_stands_for_the_name_of_a_provider(accept: Accept) -> None:
    assert served(accept(model('targets = ["two/b"]').replace('"m"', '"a"')), "a") == [("two/b", 0, 1)]


def test_prices_are_what_is_said_nearest(accept: Accept) -> None:
    unit = NANOS_PER_UNIT
    assert price(accept(model('targets = ["two/b"]'))).input == 3_300_000_000
    assert price(accept(model('targets = ["two/b"]\nmarkup = "0%"'))).cached == unit // 2
    assert price(accept(model('targets = ["two/b"]\nprice = { input = "9", output = "9" }'))).output == 9 * unit
    both = 'targets = [{ model = "two/b", price = { input = "7", output = "7" } }, "one/a"]\nprice = "free"'
    assert price(accept(model(both))).input == 7 * unit
    assert price(accept(model(both)), index=1) == Price()
    assert price(accept(model('targets = ["two/b"]\nprice = "openai/gpt-4o"'))).input == 2_500_000_000
    assert price(accept(model('targets = ["two/b"]\nprice = "openai/gpt-4o"\nmarkup = "100%"'))).input == 5 * unit
    above = 'above_tokens = 9, above = { input = "2", output = "3" }'
    tiers = f'{{ input = "1", output = "1", {above} }}'
    assert price(accept(model(f'targets = ["two/b"]\nprice = {tiers}'))).above == Price(
        **dict.fromkeys(("input", "cached", "written", "written_long", "audio_in", "image_in"), 2 * unit),
        **dict.fromkeys(("output", "reasoning", "audio_out", "image_out"), 3 * unit),
        above=None,
    )


def test_terms_are_the_models_or_the_first_targets(accept: Accept) -> None:
    text = model('targets = ["two/b", "one/a"]\nlimit_tokens = 50\nfallback_on = []').replace(
        'markup = "10%"', "hold_step = 7\nshrink = true"
    )
    [found] = [each for each in accept(text).models if each.name == "m"]
    assert (found.max_tokens, found.limit_tokens, found.hold_step, found.shrink) == (50, 50, 7, True)
    assert found.fallback_on == ()


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("", "models[0].targets: is missing"),
        ("targets = []", "models[0].targets = […]: must be an array of at least one model"),
        ('targets = ["a"]', 'models[0].targets[0] = "a": must be "provider/model"'),
        ('targets = ["three/a"]', 'no provider has this name; there is one, two; add [[providers]] name = "three"'),
        ('targets = ["one/a", ["one/a"]]', 'models[0].targets[1][0] = "one/a": is there twice'),
        ('targets = [{ model = "one/a", weight = 0 }]', "targets[0].weight = 0: must be an integer from 1 to 1000"),
        ('targets = ["one/a"]\nprice = 3', "models[0].price = 3: must be a table"),
        ('targets = ["one/a"]\nprice = "openai/none"', "the library knows no price of none"),
        ('targets = ["one/a"]\nprice = "nobody/gpt"', "no provider of the library has this name"),
        ('targets = ["one/a"]\nprice = {}', 'price: names no cost; what is free has price = "free"'),
        ('targets = ["one/a"]\nprice = { input = "0", output = "0" }', "names no cost"),
        ('targets = ["one/a"]\nprice = { input = "1" }', 'price.output: is missing beside input: "0" where'),
        ('targets = ["one/a"]\nprice = { cached = "1" }', "price.input: is missing beside cached"),
        ('targets = ["one/a"]\nprice = { input = 0.1, output = "1" }', "a bare decimal is a float and not exact"),
        ('targets = ["one/a"]\nprice = { input = "1", output = "1", above_tokens = 9 }', "needs above beside it"),
        ('targets = ["one/a"]\nprice = { request = "1" }\nmarkup = "1%"', "price says all of what it costs already"),
        ('targets = ["one/a"]\nfallback_on = ["6xx"]', "fallback_on[0]"),
        ('targets = ["one/a"]\nmax_tokens = 0', "max_tokens = 0: must be an integer from 1"),
    ],
)
def test_what_is_wrong_is_refused_in_words(refuse: Refuse, lines: str, problem: str) -> None:
    problems = refuse(model(lines))
    assert any(problem in each for each in problems), problems


def test_a_markup_makes_no_price_larger_than_an_amount_may_be(refuse: Refuse) -> None:
    dear = model('targets = ["two/b"]').replace('input = "3"', 'input = "8999999999"')
    problems = refuse(dear)
    assert any("markup: makes a price of more than 9000000000" in each for each in problems), problems


def test_a_model_without_a_price_is_never_served(refuse: Refuse) -> None:
    provider = '[[providers]]\nname = "openai"\nkeys = ["k"]\n'
    table = '[[models]]\nname = "m"\ntargets = ["openai/gpt-of-tomorrow"]\n'
    [problem] = refuse(provider + table + ROUTE)
    assert 'models[0].targets[0] = "openai/gpt-of-tomorrow": its price is not known: write price = {' in problem


def test_more_models_than_have_room_are_refused(refuse: Refuse) -> None:
    many = ", ".join(f'"m-{number}"' for number in range(4_097))
    text = PROVIDERS.replace('"a", "shared", "two/b"', many)
    assert "there are 4099 models that may serve, at most 4096 are possible" in str(refuse(text + ROUTE))


# Routes


def test_a_route_to_models_is_one_for_each_api(accept: Accept) -> None:
    config = accept(
        PROVIDERS + ROUTE.replace('"/v1/"', '"/ai/v1/"') + 'hosts = ["a.example"]\nprice = "0.1"\nrate = "5/s"'
    )
    openai, anthropic = config.routes
    assert [(r.name, r.path, r.dialect) for r in config.routes] == [
        ("ai", "/ai/v1/", "openai"), ("ai", "/ai/v1/messages", "anthropic")
    ]  # fmt: skip
    assert (openai.models, openai.upstream, openai.upgrades) == (("*",), "", ())
    assert (anthropic.hosts, anthropic.price_nanos, anthropic.rate) == (openai.hosts, 10**8, openai.rate)


def test_patterns_of_a_route_are_names_when_it_serves(accept: Accept) -> None:
    config = accept(PROVIDERS + ROUTE.replace('["*"]', '["two/*", "a"]'))
    assert config.routes[0].models == ("two/b", "two/shared", "a")


@pytest.mark.parametrize(
    "line",
    ['upstream = "u"', 'dialect = "openai"', 'methods = ["POST"]', 'set_headers = { a = "b" }', 'charge = "2xx"',
     'cost_header = "x"', 'units_header = "x"', 'unit_price = "1"', "forward_key = true",
     "preserve_host = true", "upgrades = []", 'minute_price = "1"', 'mib_price = "1"', 'auth = "none"'],
)  # fmt: skip
def test_what_says_nothing_about_models_is_refused(refuse: Refuse, line: str) -> None:
    problems = refuse(UPSTREAM + PROVIDERS + ROUTE + line)
    assert any(f"routes[0].{line.split(' ', 1)[0]} = " in each for each in problems), problems


def test_models_and_routes_lead_to_each_other(refuse: Refuse) -> None:
    plain = UPSTREAM + '[[routes]]\nname = "r"\npath = "/"\nupstream = "u"\n'
    assert "no route leads to models: add [[routes]]" in str(refuse(PROVIDERS + plain))
    assert "there are no models: add [[providers]]" in str(refuse(ROUTE))
    assert "means none of the models" in str(refuse(PROVIDERS + ROUTE.replace('["*"]', '["zz*"]')))
    assert "must name a model, or *" in str(refuse(PROVIDERS + ROUTE.replace('["*"]', "[]")))
    twice = ROUTE + ROUTE.replace('"ai"', '"other"').replace('"/v1/"', '"/v1/messages"')
    assert "has the same host and path" in str(refuse(PROVIDERS + twice))


# One line


def test_one_line_serves_a_provider(accept: Accept) -> None:
    flags = {"provider": ("openai",), "model": ("gpt-4o*",), "key": ("sk-caller-1",), "balance": "5"}
    config = accept(None, flags, {"OPENAI_API_KEY": "sk-1"})
    assert [route.path for route in config.routes] == ["/v1/", "/v1/messages"]
    assert {"gpt-4o", "openai/gpt-4o-mini"} & set(config.routes[0].models) == {"gpt-4o"}
    assert config.accounts[0].balance_nanos == 5 * NANOS_PER_UNIT


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        ({"balance": "5"}, "--provider: nobody could call"),
        ({"key": ("sk-caller-1",)}, "--provider: needs --balance AMOUNT"),
        ({"key": ("sk-caller-1",), "balance": "5", "dialect": "openai"}, "--dialect: has no meaning together with"),
        ({"key": ("sk-caller-1",), "balance": "5", "model": ("gpt-9",)}, "--model: routes[0].models[0] = \"gpt-9\""),
        ({"key": ("sk-caller-1",), "balance": "5", "upstream": "http://a"}, "cannot be together with --upstream"),
    ],
)  # fmt: skip
def test_flags_that_do_not_fit_are_refused(refuse: Refuse, flags: dict[str, object], problem: str) -> None:
    problems = refuse(None, {"provider": ("openai",)} | flags, {"OPENAI_API_KEY": "sk-1"})
    assert any(each.startswith(problem) or problem in each for each in problems), problems

"""What [[providers]] may say, what is known of those that have a name, and how their keys are kept."""

import re
from pathlib import Path

import pytest
from config_files import Accept, Refuse
from genai_prices.data_snapshot import get_snapshot

from fastgw import published
from fastgw.config.catalogue import catalogue
from fastgw.config.changes import reload_report
from fastgw.config.load import load
from fastgw.config.providers import DIALECTS, OPERATIONS
from fastgw.model import Price, Rate, Secret, Target
from fastgw.published import Source

ROUTE = '\n[[routes]]\nname = "ai"\npath = "/v1/"\nmodels = ["*"]\n'
KEY = {"OPENAI_API_KEY": "sk-openai-1"}
FREE = 'models = ["m"]\nprice = "free"\n'


def provider(lines: str) -> str:
    return f"[[providers]]\n{lines}\n{ROUTE}"


def test_a_known_provider_is_one_line(accept: Accept) -> None:
    config = accept(provider('name = "openai"'), environ=KEY)
    [found] = config.providers
    assert (found.dialect, found.base_path, found.keys) == ("openai", "/v1", (Secret("sk-openai-1"),))
    assert (found.key_header, found.key_scheme, found.max_tokens_field) == (
        "authorization", "Bearer ", "max_completion_tokens"
    )  # fmt: skip
    [upstream] = config.upstreams
    assert (upstream.name, upstream.targets) == ("openai", (Target("api.openai.com", 443, "api.openai.com", tls=True),))
    names = {model.name for model in config.models}
    assert {"gpt-4o-mini", "openai/gpt-4o-mini", "text-embedding-3-small"} <= names
    assert not any(name.startswith("ft:") or name.endswith("-") for name in names)


def test_a_provider_of_ones_own_is_five_lines(accept: Accept) -> None:
    config = accept(
        provider('name = "own"\nurl = "https://llm.example.com:8443/api/v1/"\nkeys = ["k-1"]\nmodels = ["a", "org/b"]\n'
                 'price = { input = "1", output = "2" }')
    )  # fmt: skip
    [found] = config.providers
    assert (found.base_path, found.max_tokens_field, found.stream_usage) == ("/api/v1", "max_tokens", True)
    assert config.upstreams[0].targets == (Target("llm.example.com", 8443, "llm.example.com:8443", tls=True),)
    assert [model.name for model in config.models if model.listed] == ["a", "org/b"]


def test_a_provider_with_everything(accept: Accept) -> None:
    Path("more.txt").write_text("# spare\n\nk-3\nk-4\n")
    config = accept(
        provider(
            """
name = "eu"
type = "anthropic"
url = "https://claude.example.com"
keys = ["${ONE}", "k-2"]
keys_file = "more.txt"
key_header = "X-Own-Key"
key_scheme = "Token"
headers = { "X-Team" = "${TEAM}" }
models = ["claude-haiku-4-5", "claude-sonnet-4-5-20250929"]
markup = "10%"
max_tokens = 100
limit_tokens = 200
hold_step = 16
shrink = true
operations = ["count_tokens"]
stream_usage = false
rate = "50/m"
burst = 5
token_rate = "40000/m"
upstream = { targets = ["http://10.0.0.1:80", "http://10.0.0.2:80"], balance = "latency", connections_max = 9 }
"""
        ),
        environ={"ONE": "k-1", "TEAM": "search"},
    )
    [found] = config.providers
    assert [key.reveal() for key in found.keys] == ["k-1", "k-2", "k-3", "k-4"]
    assert (found.key_header, found.key_scheme, found.headers) == ("x-own-key", "Token ", (("x-team", "search"),))
    assert (found.rate, found.token_rate) == (Rate(50, 60 * 10**9, 5), Rate(40_000, 60 * 10**9, 40_000))
    assert (found.dialect, found.operations, found.stream_usage) == ("anthropic", ("count_tokens",), False)
    assert (len(config.upstreams[0].targets), config.upstreams[0].connections_max) == (2, 9)
    model = next(model for model in config.models if model.name == "claude-haiku-4-5")
    assert (model.max_tokens, model.limit_tokens, model.hold_step, model.shrink) == (100, 200, 16, True)
    assert model.candidates[0].price.input == 1_100_000_000
    assert "k-1" not in repr(config) + str(found)
    assert "search" not in repr(found)


def test_keys_come_whole_to_who_serves(accept: Accept) -> None:
    config = accept(provider('name = "openai"'), environ=KEY)
    assert published.read(published.publish(config, Source())) == config


def test_what_is_known_can_be_used() -> None:
    ids = {each.id for each in get_snapshot().providers}
    assert len(catalogue()) >= 30
    text = (Path(published.__file__).parent / "config" / "catalogue.toml").read_text()
    for name, entry in catalogue().items():
        assert re.search(rf"# https://\S+\n\[{name}\]\n", text), f"{name} has no page that says where it is"
        assert entry.dialect in DIALECTS
        assert entry.prices in ids | {""}
        assert set(entry.operations) <= set(OPERATIONS)
        assert set(re.findall(r"\{(\w+)\}", entry.url)) == set(entry.needs)


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_each_known_provider_makes_a_configuration(name: str, accept: Accept) -> None:
    environ = {"AWS_REGION": "eu-central-1", "AZURE_RESOURCE_NAME": "mine", "CLOUDFLARE_ACCOUNT_ID": "0a"}
    config = accept(provider(f'name = "{name}"\nkeys = ["k-1"]\nmodels = ["*"]\n' if catalogue()[name].prices and name
                             != "azure" else f'name = "{name}"\nkeys = ["k-1"]\n{FREE}'), environ=environ)  # fmt: skip
    [target] = config.upstreams[0].targets
    assert target.tls == (target.host != "localhost")
    assert config.models


def test_places_are_filled_in(accept: Accept) -> None:
    said = accept(provider(f'name = "azure"\nresource = "my-res"\nkeys = ["k"]\n{FREE}'))
    assert said.upstreams[0].targets[0].host == "my-res.openai.azure.com"
    bearer = accept(provider(f'name = "bedrock"\nkeys = ["k"]\n{FREE}'), environ={"AWS_REGION": "us-east-1"})
    assert (bearer.upstreams[0].targets[0].host, bearer.providers[0].region) == (
        "bedrock-runtime.us-east-1.amazonaws.com", ""
    )  # fmt: skip
    signed = accept(provider(f'name = "bedrock"\nregion = "us-east-1"\nkeys = ["id:secret"]\n{FREE}'))
    assert signed.providers[0].region == "us-east-1"


@pytest.mark.parametrize("url", ["http://localhost:1", "http://127.0.0.1:1", "http://vllm:8000", "http://[::1]:1",
                                 "http://192.168.3.4", "http://llm.internal", "http://a.b.svc"])  # fmt: skip
def test_plain_http_is_for_ones_own_network(accept: Accept, url: str) -> None:
    assert not accept(provider(f'name = "own"\nurl = "{url}/v1"\n{FREE}')).upstreams[0].targets[0].tls


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ('name = "opnai"', "url: is missing, or the name is no known provider's: unknown, did you mean openai?"),
        ('name = "openai"', "keys: is missing: set OPENAI_API_KEY"),
        ('name = "openai"\nkeys = ["${NONE}"]', "keys[0]: the environment has no NONE"),
        ('name = "openai"\nkeys = ["a b"]', "keys[0]: must have no space"),
        ('name = "openai"\nkeys = ["a", "a"]', "keys[1]: is there twice"),
        ('name = "openai"\nkeys = "a"', "keys: must be an array"),
        ('name = "openai"\nkeys_file = "none.txt"', 'keys_file = "none.txt": cannot be read'),
        ('name = "openai"\nkeys_file = "fastgw.toml"', "keys_file: line 2 must have no space"),
        ('name = "openai"\ntype = "closedai"', 'type = "closedai": no known provider has this name'),
        (f'name = "o"\nurl = "http://llm.example.com"\n{FREE}', "url = \"http://llm.example.com\": would send keys"),
        (f'name = "o"\nurl = "https://a.example/v1?x=1"\n{FREE}', "must be an http:// or https:// URL"),
        (f'name = "o"\nurl = "https://me:pw@a.example"\n{FREE}', "must be an http:// or https:// URL"),
        ('name = "azure"\nkeys = ["k"]', "resource: is missing: write it, or set AZURE_RESOURCE_NAME"),
        ('name = "openai"\nregion = "us-east-1"', 'region = "us-east-1": has no meaning for this provider'),
        ('name = "bedrock"\nregion = "r"\nkeys = ["a:b", "c"]', "keys: must be ID:SECRET or ID:SECRET:TOKEN"),
        ('name = "openai"\nkeys = ["k"]\nmodels = ["gpt-9"]', 'models[0] = "gpt-9": its price is not known'),
        ('name = "openai"\nkeys = ["k"]\nmodels = ["zz*"]', 'models[0] = "zz*": means no model'),
        ('name = "qwen"\nkeys = ["k"]', "models: is missing: nothing leads to this provider"),
        ('name = "openai"\nkeys = ["k"]\nmodels = ["a b"]', "must be the name of a model"),
        ('name = "openai"\nkeys = ["k"]\nprices = "opnai"', "unknown, did you mean openai?"),
        ('name = "openai"\nkeys = ["k"]\nmax_tokens = 9\nlimit_tokens = 8', "max_tokens = 9: must be at most"),
        ('name = "openai"\nkeys = ["k"]\noperations = ["chat"]', 'operations[0] = "chat": must be'),
        ('name = "openai"\nkeys = ["k"]\nkey_header = "host"', 'key_header = "host": must be the name of a header'),
        ('name = "openai"\nkeys = ["k"]\nupstream = { name = "x" }', "upstream.name: unknown"),
        ('name = "openai"\nkeys = ["k"]\nheaders = { a = "${NONE}" }', "headers.a: the environment has no NONE"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_in_words(refuse: Refuse, lines: str, problem: str) -> None:
    problems = refuse(provider(lines))
    assert any(problem in each for each in problems), problems


def test_no_refusal_holds_a_key(refuse: Refuse) -> None:
    lines = 'name = "openai"\nkeys = ["sk secret", "sk-secret", "sk-secret"]\nkey_header = "a b"\nmodels = ["x"]'
    assert "secret" not in str(refuse(provider(lines)))


def test_a_provider_makes_an_upstream_of_its_name_alone(refuse: Refuse) -> None:
    text = '[[upstreams]]\nname = "openai"\ntargets = ["http://127.0.0.1:1"]\n' + provider('name = "openai"')
    [problem] = refuse(text, environ=KEY)
    assert 'providers[0].name = "openai": is the name of one of [[upstreams]] already' in problem


def test_a_reload_changes_keys_and_prices_and_tells_no_key(accept: Accept, tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    file.write_text("sk-first\n")
    text = provider(f'name = "openai"\nkeys_file = "{file}"\nmodels = ["gpt-4o"]')
    before = accept(text)
    file.write_text("sk-second\n")
    after = load("fastgw.toml", {}, {})
    assert before.providers[0].keys_file == str(file)
    assert reload_report(before, after).changes == ("providers: 1 changed (openai: keys)",)
    dearer = accept(text.replace('"gpt-4o"]', '"gpt-4o"]\nmarkup = "1%"'))
    assert reload_report(after, dearer).changes == (
        "models: 2 changed (openai/gpt-4o: targets or prices; gpt-4o: targets or prices)",
    )


def test_free_is_said(accept: Accept) -> None:
    config = accept(provider(f'name = "ollama"\n{FREE}'))
    assert config.providers[0].keys == ()
    assert config.models[0].candidates[0].price == Price()

"""What [[prompts]] may say, which routes their versions come to, and what is refused before anybody calls."""

import json
from pathlib import Path

import pytest
from config_files import Accept, Refuse

from fastgw.ai.prompt_document import document
from fastgw.config.changes import reload_report
from fastgw.model import Config, Prompt, Route

HEAD = """
[[providers]]
name = "own"
url = "https://own.example/v1"
models = ["m"]
price = { input = "1", output = "2" }

[[models]]
name = "short"
targets = ["own/m"]
limit_tokens = 100
"""
SCHEMA = '{ type = "object", properties = { text = { type = "string" } }, required = ["text"] }'


def prompt(lines: str = "", name: str = "sum", text: str = 'template = "Sum: {{ text }}"', model: str = "m") -> str:
    return f'\n[[prompts]]\nname = "{name}"\nmodel = "{model}"\n{text}\n{lines}\n'


def only(config: Config) -> Prompt:
    [found] = config.prompts
    return found


def paths(config: Config) -> dict[str, str]:
    return {route.path: route.prompt for route in config.routes}


def route(config: Config, path: str) -> Route:
    return next(route for route in config.routes if route.path == path)


def test_a_prompt_is_a_route_of_its_name_and_needs_no_other(accept: Accept) -> None:
    config = accept(HEAD + prompt('price = "0.01"\nrate = "5/s"\nhosts = ["a.example"]'))
    assert paths(config) == {"/prompts/sum": "sum@1", "/prompts/sum@1": "sum@1", "/prompts/openapi.json": "*"}
    found = route(config, "/prompts/sum")
    assert (found.name, found.methods, found.auth, found.dialect) == ("sum", ("POST",), "key", "problem")
    assert (found.price_nanos, found.models, found.hosts) == (10_000_000, ("m",), ("a.example",))
    assert found.rate is not None
    assert found.rate.count == 5
    assert route(config, "/prompts/openapi.json").auth == "none"
    assert "/prompts/openapi.json" not in paths(accept(HEAD + prompt("listed = false")))


def test_every_variable_is_a_required_string_where_no_schema_says_otherwise(accept: Accept) -> None:
    said = only(accept(HEAD + prompt('system = "{{lang}}"', text='template = "{{ text }} {{text}}"')))
    assert json.loads(said.messages) == [
        {"role": "system", "content": "{{lang}}"}, {"role": "user", "content": "{{ text }} {{text}}"},
    ]  # fmt: skip
    assert json.loads(said.inputs) == {
        "type": "object",
        "properties": {"lang": {"type": "string"}, "text": {"type": "string"}},
        "required": ["lang", "text"],
        "additionalProperties": False,
    }


def test_schemas_are_tables_or_files(accept: Accept, tmp_path: Path) -> None:
    schema = {"properties": {"text": {"type": "string"}}}
    (tmp_path / "in.json").write_text(json.dumps(schema))
    said = only(accept(HEAD + prompt(f"output = {SCHEMA}\ninputs_file = 'in.json'")))
    assert json.loads(said.inputs) == {"type": "object", **schema}
    assert json.loads(said.output)["required"] == ["text"]


def test_versions_are_called_by_name_and_one_is_current(accept: Accept) -> None:
    two = prompt('version = "1"') + prompt('version = "2b"\nprice = "1"')
    config = accept(HEAD + two)
    assert paths(config) == {
        "/prompts/sum@1": "sum@1", "/prompts/sum": "sum@2b", "/prompts/sum@2b": "sum@2b", "/prompts/openapi.json": "*",
    }  # fmt: skip
    assert route(config, "/prompts/sum").price_nanos == 10**9
    assert paths(accept(HEAD + two.replace('"1"\n', '"1"\ncurrent = true\n', 1)))["/prompts/sum"] == "sum@1"
    assert paths(accept(HEAD + two + prompt('version = "3"\ncurrent = false')))["/prompts/sum"] == "sum@2b"
    assert "/prompts/sum" not in paths(accept(HEAD + prompt("current = false")))


def test_a_plan_may_have_a_price_of_its_own_for_a_prompt(accept: Accept) -> None:
    config = accept(HEAD + prompt() + '\n[[plans]]\nname = "pro"\nprices = { sum = "0.5" }\n')
    assert config.plans[0].prices == (("sum", 500_000_000),)


def test_a_reload_tells_which_prompts_are_others(accept: Accept) -> None:
    old = accept(HEAD + prompt() + prompt(name="gone"))
    new = accept(HEAD + prompt('price = "0.5"', text='template = "{{ text }}!"') + prompt(name="new"))
    assert reload_report(old, new).changes == (
        "prompts: 1 added (new), 1 removed (gone), 1 changed (sum: messages, price 0 → 0.5)",
    )


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        (prompt(model="x"), "model", "no model has this name"),
        (prompt(text=""), "messages", "is missing"),
        (prompt(text='template = " "'), "template", "a string that says something"),
        (prompt(text='template = "{{ a.b }}"'), "template", "{{ a.b }} is no variable"),
        (prompt("messages = []"), "template", "a short form of messages"),
        (prompt(text='messages = [{ role = "tool", content = "x" }]'), "messages", "roles are system, developer"),
        (prompt(text='messages = [{ role = "user", content = 5 }]'), "messages", "the content of a message must be"),
        (prompt(text='messages = [{ role = "user", content = "{{a b}}" }]'), "messages[0]", "is no variable"),
        (prompt("parameters = { n = 2 }"), "parameters.n", "would be several answers"),
        (prompt("parameters = { stream = true }"), "parameters.stream", "Accept: text/event-stream"),
        (prompt("parameters = { tools = [] }"), "parameters.tools", "a call of a tool"),
        (prompt("parameters = { seed = nan }"), "parameters", "what JSON has too"),
        (prompt("parameters = { max_tokens = 0 }"), "parameters.max_tokens", "an integer of at least 1"),
        (prompt("parameters = { max_tokens = 101 }", model="short"), "parameters.max_tokens", "at most 100 tokens"),
        (prompt('inputs = { type = "string" }'), "inputs", "must be a JSON Schema of an object"),
        (prompt('inputs = { properties = { text = { type = "strin" } } }'), "inputs", "is no JSON Schema: properties"),
        (prompt('inputs = { properties = { text = { pattern = "(?=a)" } } }'), "inputs", "is no JSON Schema"),
        (prompt('inputs = { properties = { text = { "$ref" = "https://x.example/s" } } }'), "inputs", "is disabled"),
        (prompt("inputs = { properties = { txt = {} } }"), "inputs", "has no property text"),
        (prompt(f"inputs = {SCHEMA}\ninputs_file = 'x'"), "inputs_file", "inputs is there too"),
        (prompt("output_file = 'nowhere.json'"), "output_file", "cannot be read"),
        (prompt('tokens = "included"'), "tokens", "needs a price"),
        (prompt('path = "/a/"'), "path", 'must not end with "/"'),
        (prompt('path = "/a@1"'), "path", 'have no "@"'),
        (prompt('version = "a@b"'), "version", "must be 1 to 32 of"),
        (prompt() + prompt(), "version", "is already taken at"),
        (prompt() + prompt('version = "2"\npath = "/x"'), "path", "the versions of a prompt are at one path"),
        (prompt("current = true") + prompt('version = "2"\ncurrent = true'), "current", "only one can be"),
        (prompt('path = "/x"') + prompt('path = "/x"', name="b"), "path", "same host and path"),
        (prompt() + '\n[[routes]]\nname = "sum"\npath = "/v1/"\nmodels = ["*"]\n', "name", "one of [[routes]]"),
    ],
)
def test_what_would_go_wrong_in_calls_is_refused(refuse: Refuse, text: str, place: str, words: str) -> None:
    lines = refuse(HEAD + text)
    assert any(f"].{place}" in line and words in line for line in lines), lines


def test_the_document_has_what_callers_must_know(accept: Accept) -> None:
    schema = '{ "$defs" = { t = { type = "string" } }, properties = { text = { "$ref" = "#/$defs/t" } } }'
    text = f'inputs = {schema}\nprice = "0.25"\ntokens = "included"\nhosts = ["a.example"]\ndescription = "Sums."'
    config = accept(HEAD + prompt(text) + prompt("listed = false", name="hidden") + prompt('version = "2"'))
    told = json.loads(document(config))
    assert sorted(told["paths"]) == ["/prompts/sum", "/prompts/sum@1", "/prompts/sum@2"]
    item = told["paths"]["/prompts/sum@1"]
    assert item["servers"] == [{"url": "//a.example"}]
    operation = item["post"]
    assert operation["x-price"] == {"call": "0.25", "tokens": "included"}
    assert operation["summary"] == "Sums."
    assert {"200", "400", "401", "402", "429", "502"} <= operation["responses"].keys()
    assert "answer_invalid" in operation["responses"]["502"]["x-codes"]
    name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    inputs = told["components"]["schemas"][name]
    assert inputs["properties"]["text"]["$ref"] == f"#/components/schemas/{name}/$defs/t"
    assert "Sum: " not in json.dumps(told)
    operations = [item["post"]["operationId"] for item in told["paths"].values()]
    assert len(set(operations)) == len(operations)


@pytest.mark.slow
def test_the_document_is_valid_for_those_who_read_it(accept: Accept) -> None:
    import schemathesis

    config = accept(HEAD + prompt(f"output = {SCHEMA}\ninputs = {SCHEMA}") + prompt('version = "2"\nhosts = ["a.b"]'))
    told = schemathesis.openapi.from_dict(json.loads(document(config)))
    told.validate()
    assert len(list(told.get_all_operations())) == 3

"""What people read about the fields of the file is what the readers do, and all of it."""

import ast
from pathlib import Path

import pytest
import trustme
from config_files import Accept
from msgspec.structs import fields

import fastgw.config
from fastgw.config import record_files
from fastgw.config.manual import (
    ACCOUNTS,
    KEYS,
    MODEL_TARGETS,
    MODELS,
    PRICE,
    PROMPTS,
    PROVIDERS,
    ROUTES,
    TABLES,
    TARGETS,
    Row,
    Table,
)
from fastgw.config.reference import reference, rules
from fastgw.model import Config

READERS = sorted(Path(fastgw.config.__file__).parent.glob("*.py"))
DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"
ROWS = [pytest.param(table, row, id=f"{table.name}.{row.name}") for table in TABLES for row in table.rows]
OPENAI = {"name": '"openai"', "keys": '["sk-1"]', "models": '["gpt-4o", "new"]', "price": '"free"'}
PLACES = {"AWS_REGION": "us-east-1", "AZURE_RESOURCE_NAME": "other", "CLOUDFLARE_ACCOUNT_ID": "0a"}
PLACED = {"region": '"bedrock"', "resource": '"azure"', "account": '"cloudflare"'}  # whose URL has such a place
ENVIRON = {"PROVIDER_KEY": "sk-provider"} | PLACES
AUTHORITY = trustme.CA()
ISSUED = AUTHORITY.issue_cert("api.example.com")


def written(table: Table, values: dict[str, str]) -> str:
    """A whole file in which one table says these values, beside what it must say."""
    inline = {row.name: row.example for row in table.rows if not row.default} | values
    *outer, name = table.name.split(".")
    tables = {
        "upstreams": {"name": '"billing"', "targets": '["http://127.0.0.1:9001"]'},
        "routes": {"name": '"api"', "path": '"/v1/"', "upstream": '"billing"'},
        "plans": {"name": '"pro"'},
        "accounts": {"name": '"acme"'},
        "keys": {"account": '"acme"', "key": '"sk-acme-0002"'},
    }
    if table in (PROVIDERS, MODELS, MODEL_TARGETS, PRICE):
        tables["providers"] = dict(OPENAI)
        tables["models"] = {"name": '"fast"', "targets": '["openai/gpt-4o"]'}
        tables["routes"] = {"name": '"ai"', "path": '"/v1/"', "models": '["*"]'}
    if table is PROMPTS:
        tables = {"providers": dict(OPENAI), "models": {"name": '"fast"', "targets": '["openai/gpt-4o"]'}}
        inline = ({} if "messages" in inline else {"template": '"Say {{ text }}"'}) | inline
    if table is PRICE and not values:
        inline = {"image": '"1"'}
    if table is ROUTES and "models" in inline:
        tables |= {"providers": dict(OPENAI), "routes": {"name": '"api"', "path": '"/v1/"'}}
    if inline.get("tls") == "true":
        tables["certificates"] = {"certificate": '"fullchain.pem"', "key": '"privkey.pem"'}
    if name == "certificates":
        tables["listeners"] = {"address": '":8443"', "tls": "true"}
    if name == "keys" and "certificate" in inline:
        tables["keys"].pop("key")
    if outer:
        said = "{ " + ", ".join(f"{field} = {value}" for field, value in inline.items()) + " }"
        tables[outer[0]][name] = f"[{said}]" if table.is_array else said
    else:
        tables.setdefault(name, {}).update(inline)
    server = '[server]\ntrusted_proxies = ["10.0.0.0/8"]\nclient_ca = "ca.pem"\n'
    return server + "".join(
        f"[[{name}]]\n" + "".join(f"{field} = {value}\n" for field, value in said.items())
        for name, said in tables.items()
    )


def beside(table: Table, row: Row) -> dict[str, str]:
    return {other.name: other.example for other in table.rows if other.name in row.needs}


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(AUTHORITY.cert_pem.bytes())
    for certificate, key in (("fullchain.pem", "privkey.pem"), ("gateway.pem", "gateway-key.pem")):
        (tmp_path / certificate).write_bytes(ISSUED.cert_chain_pems[0].bytes())
        (tmp_path / key).write_bytes(ISSUED.private_key_pem.bytes())
    (tmp_path / "keys.txt").write_text("sk-2\n")
    for name in ("inputs.json", "output.json"):
        (tmp_path / name).write_text('{"type": "object", "properties": {"text": {}}}')


@pytest.mark.parametrize(("table", "row"), ROWS)
def test_the_example_of_a_field_is_accepted_and_says_something(table: Table, row: Row, accept: Accept) -> None:
    rest = beside(table, row) | ({"type": PLACED[row.name]} if table is PROVIDERS and row.name in PLACED else {})
    text, without = written(table, rest | {row.name: row.example}), written(table, rest)
    said: Config = accept(text, environ=ENVIRON)
    if (
        text != without
        and row.default
        and not set(row.needs) & {other.name for other in table.rows if row.name in other.needs}
    ):
        assert said != accept(without, environ=ENVIRON)


@pytest.mark.parametrize(("table", "row"), ROWS)
def test_the_default_of_a_field_is_what_leaving_it_out_means(table: Table, row: Row, accept: Accept) -> None:
    if not row.default or row.default.startswith("(") or row.default == "[]":
        return
    rest = beside(table, row)
    assert accept(written(table, rest | {row.name: row.default})) == accept(written(table, rest))


@pytest.mark.parametrize(
    "table", [t for t in TABLES if t not in (TARGETS, MODEL_TARGETS)], ids=lambda table: table.name
)
def test_every_field_has_a_rule_of_its_reader(table: Table) -> None:
    assert set(rules(table)) == set(table.names)


@pytest.mark.parametrize("path", READERS, ids=lambda path: path.name)
def test_a_reader_allows_what_the_manual_has(path: Path) -> None:
    """The fourth argument of every `Fields(report, path, raw, allowed)` is a table's names."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Fields":
            assert ast.unparse(node.args[3]).endswith(".names"), f"line {node.lineno}"


def test_lines_of_json_have_the_fields_of_the_tables() -> None:
    for line, table in ((record_files._KeyLine, KEYS), (record_files._AccountLine, ACCOUNTS)):
        assert {field.name for field in fields(line)} == set(table.names)


def test_the_document_is_fresh() -> None:
    assert DOCUMENT.read_text() == reference(), "python -m fastgw.config.reference > docs/configuration.md"

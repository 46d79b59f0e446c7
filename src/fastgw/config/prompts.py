"""Decides what [[prompts]] may say, and which routes the versions of a prompt come to.

Whatever could go wrong in a call because of the file is refused here: a schema that is none, a variable that no input
has, a parameter that would make the answer something else than the prompt promises.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from .. import units
from ..ai.checking import Checker
from ..ai.templates import variables
from ..model import Model, Prompt, Route
from .fields import (
    Fields,
    Report,
    existing,
    matching,
    one_of,
    parse_boolean,
    parse_host,
    parse_path,
    parse_slug,
    parse_table,
)
from .manual import PROMPTS
from .toml_lines import Path

T = TypeVar("T")

DOCUMENT_PATH = "/prompts/openapi.json"
DOCUMENT_ROUTE = "prompts.openapi"
EVERY = "*"
ROLES = ("system", "developer", "user", "assistant")
SCHEMA_BYTES_MAX = 1 << 20
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_NO_VARIABLE = re.compile(r"\{\{(?!\s*[A-Za-z_][A-Za-z0-9_]*\s*\}\})[^{}]*\}\}")
_BOUNDS = ("max_tokens", "max_completion_tokens")
_OWN = {
    "model": "is a field of the prompt",
    "messages": "is a field of the prompt",
    "stream": "is for the caller to say, by Accept: text/event-stream",
    "stream_options": "is for the gateway to say",
    "response_format": "is what output says",
    "n": "would be several answers",
    "tools": "would make the answer a call of a tool",
    "functions": "would make the answer a call of a tool",
    "tool_choice": "would make the answer a call of a tool",
    "modalities": "would make the answer something else than text",
    "audio": "would make the answer something else than text",
}


class Read(Struct, frozen=True):
    """A prompt, where it is in the file, and what it says of being the current version."""

    prompt: Prompt
    index: int
    said_current: bool | None


def read_prompts(
    report: Report, tables: list[Any], models: Sequence[Model]
) -> tuple[tuple[Prompt, ...], list[tuple[int, Route]]]:
    """The prompts of a document, and their routes, each with its place in the file."""
    by_name = {model.name: model for model in models}
    read = [_prompt(report, index, raw, by_name) for index, raw in enumerate(tables)]
    prompts: list[Prompt] = []
    routes: list[tuple[int, Route]] = []
    for name in dict.fromkeys(each.prompt.name for each in read):
        versions = [each for each in read if each.prompt.name == name]
        _refuse_unlike(report, versions)
        current = _current(report, versions)
        for each in versions:
            prompt = msgspec.structs.replace(each.prompt, current=each is current)
            prompts.append(prompt)
            paths = (prompt.path, prompt.own_path) if prompt.current else (prompt.own_path,)
            routes += [(each.index, _route(prompt, path)) for path in paths if prompt.path]
    if any(prompt.listed for prompt in prompts):
        routes.append((0, _document_route()))
    return tuple(prompts), routes


def _route(prompt: Prompt, path: str) -> Route:
    return Route(
        prompt.name, path, prompt.hosts, ("POST",), "", "key", prompt.price_nanos, prompt.rate, "problem",
        forward_key=False, preserve_host=False, set_headers=(), upgrades=(), models=(prompt.model,),
        prompt=prompt.whole_name,
    )  # fmt: skip


def _document_route() -> Route:
    return Route(
        DOCUMENT_ROUTE, DOCUMENT_PATH, (), ("GET", "HEAD"), "", "none", 0, None, "problem",
        forward_key=False, preserve_host=False, set_headers=(), upgrades=(), models=(EVERY,), prompt=EVERY,
    )  # fmt: skip


def _prompt(report: Report, index: int, raw: Any, models: Mapping[str, Model]) -> Read:
    fields = Fields(report, ("prompts", index), raw, PROMPTS.names)
    name = fields.require("name", parse_slug, "")
    model = fields.require("model", existing("model", models), "")
    messages = _messages(fields)
    output = _schema(fields, "output")
    prompt = Prompt(
        name=name,
        version=fields.take("version", matching(_VERSION, "must be 1 to 32 of A-Z a-z 0-9 _ . -"), "1"),
        path=fields.take("path", _path, f"/prompts/{name}" if name else ""),
        model=model,
        messages=_json(messages),
        inputs=_json(_inputs(fields, messages)),
        output="" if output is None else _json(output),
        parameters=_json(_parameters(fields, models.get(model))),
        description=fields.take("description", _description, ""),
        hosts=fields.each("hosts", parse_host),
        price_nanos=fields.take("price", units.parse_money_nanos, 0),
        included=fields.take("tokens", one_of("charged", "included"), "charged") == "included",
        rate=fields.rate(),
        listed=fields.take("listed", parse_boolean, True),
    )
    if prompt.included and "price" not in fields.raw:
        report.refuse((*fields.path, "tokens"), "needs a price, which is then all that a call costs", "included")
    return Read(prompt, index, fields.take("current", parse_boolean, None))


def _path(value: Any) -> str:
    path = parse_path(value)
    if path.endswith("/") or "@" in path:
        raise ValueError('must not end with "/", and have no "@": PATH@VERSION is where a version is called')
    return path


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _description(value: Any) -> str:
    if isinstance(value, str) and 1 <= len(value) <= 1_000:
        return value
    raise ValueError("must be a string of 1 to 1000 characters")


# What is said to the model


def _messages(fields: Fields) -> list[Any]:
    """The messages of the prompt, as a chat completion has them."""
    report, path, raw = fields.report, fields.path, fields.raw
    if "messages" in raw:
        for name in ("template", "system"):
            if name in raw:
                report.refuse((*path, name), "is a short form of messages, which are there too")
        messages: list[Any] = fields.take("messages", _parse_messages, [])
        for index, message in enumerate(messages):
            _refuse_no_variables(report, (*path, "messages", index), message)
        return messages
    if "template" not in raw and fields.is_table:
        report.refuse((*path, "messages"), "is missing; or write template, which is the message of a user")
    short = []
    for name, role in (("system", "system"), ("template", "user")):
        text = fields.take(name, _text, "")
        _refuse_no_variables(report, (*path, name), text)
        if text:
            short.append({"role": role, "content": text})
    return short


def _text(value: Any) -> str:
    if isinstance(value, str) and value.strip():
        return value
    raise ValueError("must be a string that says something")


def _parse_messages(value: Any) -> list[Any]:
    rule = f'must be an array of messages, like {{ role = "user", content = "…" }}; roles are {", ".join(ROLES)}'
    if not isinstance(value, list) or not value:
        raise ValueError(rule)
    for message in value:
        if not isinstance(message, dict) or message.keys() != {"role", "content"} or message["role"] not in ROLES:
            raise ValueError(rule)
        content = message["content"]
        if not (isinstance(content, str) and content) and not (
            isinstance(content, list) and content and all(isinstance(part, dict) and "type" in part for part in content)
        ):
            raise ValueError("the content of a message must be a string, or an array of parts with a type each")
    return _of_json(value)


def _of_json(value: T) -> T:
    """A value of TOML's that JSON has too."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        raise ValueError("must be what JSON has too: no dates, no nan, no inf") from None
    return value


def _refuse_no_variables(report: Report, path: Path, node: Any) -> None:
    for found in _NO_VARIABLE.findall(json.dumps(node, ensure_ascii=False)):
        report.refuse(path, f"{found[:80]} is no variable: write {{{{ name }}}}, of A-Z a-z 0-9 _")


def _parameters(fields: Fields, model: Model | None) -> dict[str, Any]:
    def convert(value: Any) -> dict[str, Any]:
        return _of_json(parse_table(value))

    parameters: dict[str, Any] = fields.take("parameters", convert, {})
    path = (*fields.path, "parameters")
    for name, value in parameters.items():
        if name in _OWN:
            fields.report.refuse((*path, name), _OWN[name])
        elif name in _BOUNDS:
            if type(value) is not int or value < 1:
                fields.report.refuse((*path, name), "must be an integer of at least 1", value)
            elif model is not None and model.limit_tokens and value > model.limit_tokens:
                fields.report.refuse((*path, name), f"the model generates at most {model.limit_tokens} tokens", value)
    return parameters


# Schemas


def _inputs(fields: Fields, messages: list[Any]) -> dict[str, Any]:
    """The schema of a call's body: what the file says, or that every variable is a string."""
    names = list(dict.fromkeys(variables(messages)))
    schema = _schema(fields, "inputs")
    if schema is None:
        properties = {name: {"type": "string"} for name in names}
        return {"type": "object", "properties": properties, "required": names, "additionalProperties": False}
    known = schema.get("properties", {})
    if isinstance(known, dict) and "$ref" not in schema and "allOf" not in schema:
        for name in names:
            if name not in known:
                which = "inputs" if "inputs" in fields.raw else "inputs_file"
                fields.report.refuse(
                    (*fields.path, which), f"has no property {name}, which is a variable of the prompt"
                )
    return schema


def _schema(fields: Fields, name: str) -> dict[str, Any] | None:
    """The schema of an object under `name`, or in the file of `name`_file; None where there is neither."""
    report, which = fields.report, f"{name}_file"
    if name in fields.raw and which in fields.raw:
        report.refuse((*fields.path, which), f"{name} is there too")
    elif which in fields.raw:
        file = fields.file(which)
        return _taken(fields, which, _read_schema(file)) if file else None
    return fields.take(name, _parse_schema, None)


def _taken(fields: Fields, name: str, read: Callable[[], Any]) -> dict[str, Any] | None:
    try:
        return _parse_schema(read())
    except ValueError as error:
        fields.report.refuse((*fields.path, name), str(error), fields.raw[name])
        return None


def _read_schema(file: str) -> Callable[[], Any]:
    def read() -> Any:
        try:
            with open(file, "rb") as opened:
                return msgspec.json.decode(opened.read(SCHEMA_BYTES_MAX))
        except OSError as error:
            raise ValueError(f"cannot be read: {error.strerror}") from None
        except (ValueError, RecursionError):
            raise ValueError("holds no JSON") from None

    return read


def _parse_schema(value: Any) -> dict[str, Any]:
    rule = 'must be a JSON Schema of an object, like { type = "object", properties = { … } }'
    if not isinstance(value, dict):
        raise ValueError(rule)
    schema = _of_json(value)
    if "type" not in schema and "properties" in schema:
        schema = {"type": "object", **schema}
    if schema.get("type") != "object":
        raise ValueError(rule)
    try:
        Checker(schema)
    except ValueError as error:
        raise ValueError(f"is no JSON Schema: {error}") from None
    return schema


# Versions


def _refuse_unlike(report: Report, versions: Sequence[Read]) -> None:
    """Versions of one name that cannot be told apart, or are in several places."""
    first = versions[0].prompt
    seen: dict[str, int] = {}
    for each in versions:
        prompt = each.prompt
        path: Path = ("prompts", each.index)
        other = seen.setdefault(prompt.version, each.index)
        if other != each.index and prompt.name:
            where = report.locate(("prompts", other, "name"))
            report.refuse((*path, "version"), f"is already taken at {where}; say another", prompt.version)
        if prompt.path != first.path and prompt.path and first.path:
            rule = f"the versions of a prompt are at one path, and the first is at {first.path}"
            report.refuse((*path, "path"), rule, prompt.path)


def _current(report: Report, versions: Sequence[Read]) -> Read | None:
    """The version that is called where none is named: what says so, or the last one that does not say otherwise."""
    said = [each for each in versions if each.said_current]
    for each in said[1:]:
        report.refuse(("prompts", each.index, "current"), "another version is current; only one can be", value=True)
    silent = [each for each in reversed(versions) if each.said_current is None]
    return next(iter(said or silent), None)

"""Decides how prompts are described for programs: an OpenAPI document with a path for each version of each.

It says what a caller must know: inputs, answer, price and errors; not what the prompts say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ..model import Config, Prompt
from ..refusals import TABLE
from ..units import format_money
from .prompts import EVENTS, JSON, PROBLEM

OPENAPI = "3.1.0"
TEXT = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "truncated": {"const": True, "description": "The model had more to say than it may."},
    },
    "required": ["text"],
    "additionalProperties": False,
}
_PROBLEM = {
    "type": "object",
    "description": "Problem details (RFC 9457).",
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "description": "What programs should look at."},
        "retryable": {"type": "boolean"},
        "errors": {
            "type": "array",
            "description": "What is wrong in the body, and where.",
            "items": {
                "type": "object",
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
                "required": ["pointer", "detail"],
            },
        },
    },
    "required": ["title", "status", "code"],
}
_WRONG = {
    400: "The inputs are not of their schema.",
    401: "There is no key, or it is not known, or no longer.",
    402: "The balance, a budget or a quota does not cover the call.",
    403: "The account is suspended.",
    413: "The body is too large.",
    429: "A limit is used up; Retry-After says for how long.",
    502: "The model could not be reached, or its answer is not of its schema.",
    503: "The model cannot be asked now.",
    504: "The model did not answer in time.",
}
_FIELDS = {
    "X-Fastgw-Cost": "What the call has cost, decimal money.",
    "X-Fastgw-Balance": "What the account can still spend.",
    "X-Fastgw-Tokens": "What it has used: in=12, out=34.",
    "X-Request-Id": "What the call is called in the log.",
}
_STREAM = (
    'Events whose data is {"text": "…"}, a piece each, and [DONE] in the end; one called error, with problem details, '
    "where it ends before."
)


def document(config: Config) -> bytes:
    """All prompts that are listed, as OpenAPI 3.1 in JSON."""
    prompts = [prompt for prompt in config.prompts if prompt.listed]
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {"Problem": _PROBLEM, "Text": TEXT}
    for prompt in prompts:
        schemas |= _schemas(prompt)
        for path in (prompt.path, prompt.own_path) if prompt.current else (prompt.own_path,):
            item: dict[str, Any] = {"post": _operation(prompt, path)}
            if prompt.hosts:
                item["servers"] = [{"url": f"//{host}"} for host in prompt.hosts]
            paths[path] = item
    header = config.server.key_header
    security = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "key": {"type": "apiKey", "in": "header", "name": header or "x-api-key"},
    }
    return msgspec.json.encode(
        {
            "openapi": OPENAPI,
            "info": {"title": "Prompts", "version": "1"},
            "paths": paths,
            "security": [{"bearer": []}, {"key": []}],
            "components": {"securitySchemes": security, "schemas": schemas},
        }
    )


def _names(prompt: Prompt) -> tuple[str, str]:
    """What the schemas of its inputs and its answer are called."""
    return f"{prompt.name}_{prompt.version}_inputs", f"{prompt.name}_{prompt.version}_answer"


def _schemas(prompt: Prompt) -> dict[str, Any]:
    inputs, answer = _names(prompt)
    found = {inputs: _moved(msgspec.json.decode(prompt.inputs), f"#/components/schemas/{inputs}")}
    if prompt.output:
        found[answer] = _moved(msgspec.json.decode(prompt.output), f"#/components/schemas/{answer}")
    return found


def _moved(schema: Any, place: str) -> Any:
    """A schema that stands at a place of the document: what it refers to of itself is found there."""
    match schema:
        case list():
            return [_moved(each, place) for each in schema]
        case dict():
            moved = {name: _moved(each, place) for name, each in schema.items() if name != "$schema"}
            reference = moved.get("$ref")
            if isinstance(reference, str) and reference.startswith("#"):
                moved["$ref"] = place + reference[1:]
            return moved
    return schema


def _operation(prompt: Prompt, path: str) -> dict[str, Any]:
    inputs, answer = _names(prompt)
    answered = answer if prompt.output else "Text"
    money = format_money(prompt.price_nanos)
    price = f"A call costs {money}" + (", tokens included." if prompt.included else ", and the tokens that it uses.")
    return {
        "operationId": prompt.name if path == prompt.path else f"{prompt.name}_{prompt.version}",
        "summary": prompt.description or f"{prompt.name}, version {prompt.version}",
        "description": price,
        "x-price": {"call": money, "tokens": "included" if prompt.included else "charged"},
        "requestBody": {"required": True, "content": {JSON.decode(): {"schema": _reference(inputs)}}},
        "responses": {"200": _answered(answered)} | dict(_refused()),
    }


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _answered(schema: str) -> dict[str, Any]:
    fields = {name: {"description": help, "schema": {"type": "string"}} for name, help in _FIELDS.items()}
    stream = {"schema": {"type": "string", "description": _STREAM}}
    return {
        "description": "What the model says; as events where Accept asks for them.",
        "headers": fields,
        "content": {JSON.decode(): {"schema": _reference(schema)}, EVENTS.decode(): stream},
    }


def _refused() -> Iterator[tuple[str, Mapping[str, Any]]]:
    for status, words in _WRONG.items():
        codes = sorted(refusal.name.lower() for refusal, row in TABLE.items() if row.status == status)
        yield (
            str(status),
            {
                "description": words,
                "content": {PROBLEM.decode(): {"schema": _reference("Problem")}},
                "x-codes": codes,
            },
        )

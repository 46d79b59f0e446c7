"""Decides what of a JSON Schema a provider takes, and that the rest is said in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

Node = dict[str, Any]

_NAMED = ("properties", "$defs", "definitions")
_LISTED = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "additionalProperties")

_CLAUDE = {
    "type", "enum", "const", "title", "description", "default", "$ref", "$defs", "definitions", "properties",
    "required", "items", "anyOf", "allOf",
}  # fmt: skip
_CLAUDE_FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid")
_GEMINI = {
    "$id", "$defs", "$ref", "$anchor", "type", "format", "title", "description", "enum", "items", "prefixItems",
    "minItems", "maxItems", "minimum", "maximum", "anyOf", "oneOf", "properties", "additionalProperties", "required",
    "propertyOrdering",
}  # fmt: skip


class _OpenError(ValueError):
    """An object may have any keys."""


def closed(schema: Node) -> Node | None:
    """A schema for constrained answers of Claude: every object is closed, and what cannot be enforced (bounds,
    patterns) becomes part of the description. None where an object may have any keys, which cannot be said.

    https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations
    """
    try:
        return _mapped(schema, _closed)
    except (RecursionError, _OpenError):
        return None


def for_gemini(schema: Node) -> Node | None:
    """A schema for constrained answers of Gemini: what it would not look at becomes part of the description. None
    where it is nested too deeply.

    https://ai.google.dev/api/generate-content#FIELDS.response_json_schema
    """
    try:
        return _mapped(schema, _for_gemini)
    except RecursionError:
        return None


def _mapped(schema: Node, one: Callable[[Node], Node]) -> Node:
    """The schema, with each of its schemas replaced, the inner ones first."""
    result = dict(schema)
    for key, value in schema.items():
        if key in _NAMED and isinstance(value, dict):
            result[key] = {name: _part(part, one) for name, part in value.items()}
        elif key in _LISTED and isinstance(value, list):
            result[key] = [_part(part, one) for part in value]
        elif key in _SINGLE:
            result[key] = _part(value, one)
    return one(result)


def _part(part: Any, one: Callable[[Node], Node]) -> Any:
    return _mapped(part, one) if isinstance(part, dict) else part


def _closed(schema: Node) -> Node:
    others = schema.pop("additionalProperties", False)
    if "oneOf" in schema:
        schema["anyOf"] = schema.pop("oneOf")
    kept = _only(schema, _CLAUDE | _enforced(schema))
    if schema.get("type") == "object" or "properties" in schema:
        if others or "properties" not in schema:
            raise _OpenError
        kept["additionalProperties"] = False
    return kept


def _enforced(schema: Node) -> set[str]:
    formats = {"format"} if schema.get("format") in _CLAUDE_FORMATS else set()
    return formats | ({"minItems"} if schema.get("minItems") in (0, 1) else set())


def _for_gemini(schema: Node) -> Node:
    if "definitions" in schema:
        schema["$defs"] = schema.pop("definitions")
    if "$ref" in schema:  # beside which nothing else may stand
        schema["$ref"] = str(schema["$ref"]).replace("#/definitions/", "#/$defs/")
        return {key: value for key, value in schema.items() if key.startswith("$") and key in _GEMINI}
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    return _only(schema, _GEMINI)


def _only(schema: Node, keys: set[str]) -> Node:
    """What of a schema has these keys; the rest is said in the description."""
    kept = {key: value for key, value in schema.items() if key in keys}
    rest = {key: value for key, value in schema.items() if key not in keys and key != "$schema"}
    if rest:
        words = msgspec.json.encode(rest).decode()
        kept["description"] = "\n\n".join(filter(None, (kept.get("description"), words)))
    return kept

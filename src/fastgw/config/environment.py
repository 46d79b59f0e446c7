"""Decides how values that may be credentials are read: ${NAME} is from the environment, and no message repeats one."""

import re
from collections.abc import Mapping
from typing import Any

from ..settings import CONNECTION_FIELDS, TOKEN
from .fields import Fields, parse_table

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_FIELD_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")  # RFC 9110 §5.5, ASCII only
VALUE_RULE = "must be 1 to 4096 printable ASCII characters, no space at either end (value not shown)"


def expand(value: Any, environ: Mapping[str, str]) -> str:
    """The value of a header's field with every ${NAME} replaced from the environment. Raises `ValueError`."""
    if not isinstance(value, str):
        raise ValueError("must be a string")
    if "${" in _REFERENCE.sub("", value):
        raise ValueError("a reference to the environment is written ${NAME}")
    missing = [name for name in _REFERENCE.findall(value) if not environ.get(name)]
    if missing:
        raise ValueError(f"the environment has no {', '.join(dict.fromkeys(missing))}")
    return field_value(_REFERENCE.sub(lambda match: environ[match[1]], value))


def field_value(text: str) -> str:
    """What may stand in a header's field as it is. Raises `ValueError`."""
    if not _FIELD_VALUE.fullmatch(text) or len(text) > 4096:
        raise ValueError(VALUE_RULE)
    return text


def headers(fields: Fields, field: str, environ: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The header names, in lower case, and values of a table."""
    report, path = fields.report, (*fields.path, field)
    found: dict[str, str] = {}
    raw: dict[str, Any] = fields.take(field, parse_table, {}, secret=True)
    for name, value in raw.items():
        lower = name.lower()
        if not TOKEN.fullmatch(name):
            report.refuse((*path, name), "must be a header name, an RFC 9110 token")
        elif lower in CONNECTION_FIELDS:
            report.refuse((*path, name), "belongs to the connection and is set by the gateway")
        elif lower in found:
            report.refuse((*path, name), "is there twice; header names ignore case")
        else:
            try:
                found[lower] = expand(value, environ)
            except ValueError as error:
                report.refuse((*path, name), str(error))
    return tuple(found.items())

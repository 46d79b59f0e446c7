"""Decides where the fields of a form are (multipart/form-data, RFC 7578), without copying the files in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from .canonical import BodyError

FIELDS_MAX = 1_000
HEAD_MAX = 16_384  # bytes of the fields before a value
_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"\r\n]{1,70})"|([^\s;",]{1,70}))', re.I)
_DISPOSITION = re.compile(rb"^content-disposition:[^\r\n]*", re.I | re.M)
_NAME = re.compile(rb';\s*name=(?:"((?:[^"\\\r\n]|\\.)*)"|([^\s;"]+))', re.I)
_FILE = re.compile(rb";\s*filename\*?=", re.I)


class Field(NamedTuple):
    """A field, whose value is `body[start:end]`."""

    name: str
    start: int
    end: int
    is_file: bool


def fields(body: bytes, content_type: str) -> Iterator[Field]:
    """The fields in their order. BodyError: the form is broken."""
    match = _BOUNDARY.search(content_type)
    if match is None:
        raise BodyError("The Content-Type of a form needs a boundary; let your HTTP client write it.")
    mark = b"--" + (match[1] or match[2]).encode("latin-1", "replace")
    at = 0 if body.startswith(mark) else body.find(b"\r\n" + mark) + 2
    if at == 1:
        raise BodyError("The boundary of the Content-Type is not in the body.")
    delimiter = b"\r\n" + mark
    for _ in range(FIELDS_MAX):
        at += len(mark)
        if body.startswith(b"--", at):
            return
        start = body.find(b"\r\n\r\n", at, at + HEAD_MAX) + 4
        end = body.find(delimiter, start - 2)
        if start == 3 or end < 0:
            raise BodyError("The form ends in the middle of a field.")
        yield _field(body[at:start], start, max(end, start))
        at = end + 2
    raise BodyError(f"The form has more than {FIELDS_MAX} fields.")


def _field(head: bytes, start: int, end: int) -> Field:
    disposition = _DISPOSITION.search(head)
    name = _NAME.search(disposition[0]) if disposition else None
    if disposition is None or name is None:
        raise BodyError("A field of the form has no name.")
    text = (name[1] if name[1] is not None else name[2]).decode("utf-8", "replace")
    return Field(text, start, end, _FILE.search(disposition[0]) is not None)


def changed(body: bytes, field: Field, value: bytes) -> bytes:
    """The form with another value of that field."""
    if body[field.start : field.end] == value:
        return body
    return b"".join((memoryview(body)[: field.start], value, memoryview(body)[field.end :]))

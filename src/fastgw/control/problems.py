"""Decides how the admin API says no: problem details (RFC 9457) with a stable `code`, one row for each of them."""

import re
import sys
import traceback
from http import HTTPStatus
from typing import Annotated, Any, NamedTuple

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec
from msgspec import UNSET, Meta, Struct, UnsetType

from ..discovery import errors as targets
from ..ledger import errors
from .bodies import RULES
from .written import Money, money

MEDIA = "application/problem+json"


class Row(NamedTuple):
    """What one code always says."""

    status: int
    title: str
    retry_after_s: int = 0


TABLE: dict[str, Row] = {
    "invalid_request": Row(400, "Invalid request"),
    "unauthorized": Row(401, "No or wrong token"),
    "browser_refused": Row(403, "Not for browsers"),
    "not_found": Row(404, "Not found"),
    "call_log_off": Row(404, "No call log"),
    "method_not_allowed": Row(405, "Method not allowed"),
    "conflict": Row(409, "Conflict"),
    "declared_in_file": Row(409, "Declared in the file"),
    "insufficient_balance": Row(409, "Insufficient balance"),
    "body_too_large": Row(413, "Body too large"),
    "unsupported_media_type": Row(415, "Unsupported media type"),
    "wrong_host": Row(421, "Wrong host"),
    "invalid_value": Row(422, "Invalid value"),
    "idempotency_mismatch": Row(422, "Idempotency key used already"),
    "reload_refused": Row(422, "Reload refused"),
    "internal_error": Row(500, "Internal error"),
    "ledger_unavailable": Row(503, "Ledger unavailable", 1),
    "state_unavailable": Row(503, "State directory unavailable", 1),
}

_OF_PARTS: dict[type[Exception], str] = {
    errors.NotFound: "not_found",
    errors.ReadOnly: "declared_in_file",
    errors.Insufficient: "insufficient_balance",
    errors.Conflict: "conflict",
    errors.IdempotencyMismatch: "idempotency_mismatch",
    errors.LedgerUnavailable: "ledger_unavailable",
    errors.Invalid: "invalid_value",
    targets.NotFound: "not_found",
    targets.Declared: "declared_in_file",
    targets.Conflict: "conflict",
    targets.Invalid: "invalid_value",
    targets.Unavailable: "state_unavailable",
}
_BY_PATTERN = re.compile(r"Expected `str(?: \| null)?` matching regex '(.*)'")
_SENTENCES = {
    "not_found": "There is nothing here; /openapi.json has every operation.",
    "method_not_allowed": "This resource does not take this method; Allow has those that it takes.",
    "body_too_large": "A request's body may have 64 KiB.",
}
_OF_STATUS = {
    400: "invalid_request", 404: "not_found", 405: "method_not_allowed", 413: "body_too_large",
    415: "unsupported_media_type",
}  # fmt: skip


class Place(Struct, frozen=True):
    """One thing wrong: `where` is "body.amount", "query.limit" or "fastgw.toml:12"."""

    where: str
    message: str


class Problem(Struct, frozen=True, omit_defaults=True):
    """Problem details, RFC 9457. Programs read `code`; people read `detail`."""

    type: str
    title: str
    status: Annotated[int, Meta(ge=400, le=599)]
    detail: str
    code: str
    problems: list[Place] | UnsetType = UNSET
    available: Money | UnsetType = UNSET


class Refused(Exception):
    """The request is refused; `problem` is the answer's body."""

    def __init__(self, code: str, detail: str, **members: Any) -> None:
        super().__init__(detail)
        row = TABLE[code]
        self.problem = Problem("about:blank", row.title, row.status, detail, code, **members)


def invalid(where: str, message: str) -> Refused:
    """One field of the request that cannot be taken."""
    return Refused("invalid_request", f"{where}: {message}", problems=[Place(where, message)])


def rule_of(message: str) -> str:
    """What a check of types said, in words where it said it by a pattern."""
    match = _BY_PATTERN.fullmatch(message)
    return RULES.get(match[1], message) if match else message


def refused_by_part(error: Exception) -> Refused:
    """What the ledger or the discovery refused, in the words of this API."""
    code = next(_OF_PARTS[kind] for kind in type(error).__mro__ if kind in _OF_PARTS)
    if isinstance(error, errors.Insufficient):
        return Refused(code, str(error), available=money(error.available))
    return Refused(code, str(error))


def headers_of(problem: Problem, others: dict[str, str] | None = None) -> dict[str, str]:
    """The fields that go with a problem's body."""
    fields = {name: value for name, value in (others or {}).items() if name.lower() == "allow"}
    if retry_after_s := TABLE[problem.code].retry_after_s:
        fields["Retry-After"] = str(retry_after_s)
    if problem.status == HTTPStatus.UNAUTHORIZED:
        fields["WWW-Authenticate"] = 'Bearer realm="fastgw admin"'
    return fields


def encoded(problem: Problem) -> bytes:
    return msgspec.json.encode(problem)


def _answer(problem: Problem, others: dict[str, str] | None = None) -> Response[bytes]:
    return Response(encoded(problem), status_code=problem.status, media_type=MEDIA, headers=headers_of(problem, others))


def on_refused(_: Request[Any, Any, Any], error: Refused) -> Response[bytes]:
    return _answer(error.problem)


def on_part(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    return _answer(refused_by_part(error).problem)


def on_http(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """What the framework refuses: an unknown path, a method, a parameter."""
    code = _OF_STATUS.get(error.status_code, "invalid_request" if error.status_code < 500 else "internal_error")
    if code == "internal_error":
        return on_anything(request, error)
    places = _places(error) if isinstance(error, ValidationException) else []
    detail = "; ".join(f"{place.where}: {place.message}" for place in places)
    detail = detail or _SENTENCES.get(code, error.detail)
    problem = Refused(code, detail, **({"problems": places} if places else {})).problem
    return _answer(problem, error.headers)


def _places(error: ValidationException) -> list[Place]:
    found = []
    for message in error.extra if isinstance(error.extra, list) else []:
        source = message.get("source", "request")
        where = f"{getattr(source, 'value', source)}.{message.get('key', '')}".rstrip(".")
        found.append(Place(where, rule_of(message["message"])))
    return found


def on_anything(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """A defect: said in full where operators look, and not to who asked."""
    lines = "".join(traceback.format_exception(error))
    print(f"fastgw: error: {request.method} on the admin address failed:\n{lines}", file=sys.stderr, flush=True)
    return _answer(Refused("internal_error", "The gateway's log says what went wrong.").problem)


HANDLERS: dict[type[Exception] | int, Any] = {
    Refused: on_refused,
    **dict.fromkeys(_OF_PARTS, on_part),
    HTTPException: on_http,
    Exception: on_anything,
}


def documented(*codes: str, open: bool = False) -> dict[int, ResponseSpec]:
    """The problems that an operation may answer with, for OpenAPI; those that any may are added."""
    common = ("browser_refused", "wrong_host") if open else (
        "invalid_request", "unauthorized", "browser_refused", "wrong_host",
    )  # fmt: skip
    by_status: dict[int, list[str]] = {}
    for code in (*common, *codes):
        by_status.setdefault(TABLE[code].status, []).append(code)
    return {
        status: ResponseSpec(
            Problem, generate_examples=False, media_type=MEDIA, description=" or ".join(f"`{code}`" for code in found)
        )
        for status, found in by_status.items()
    }

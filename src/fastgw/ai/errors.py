"""Decides how an error is worded in the dialects of callers, and what a provider's error means."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson

from . import sse
from .canonical import Failure

INVALID, AUTHENTICATION, PERMISSION, NOT_FOUND, TOO_LARGE = (
    "invalid", "authentication", "permission", "not_found", "too_large",
)  # fmt: skip
RATE_LIMIT, QUOTA, OVERLOADED, TIMEOUT, SERVER = "rate_limit", "quota", "overloaded", "timeout", "server"
MESSAGE_MAX = 4_096  # characters of a provider's message that are passed on

_OPENAI = {
    INVALID: "invalid_request_error",
    AUTHENTICATION: "authentication_error",
    PERMISSION: "permission_error",
    NOT_FOUND: "invalid_request_error",
    TOO_LARGE: "invalid_request_error",
    RATE_LIMIT: "rate_limit_exceeded",
    QUOTA: "insufficient_quota",
    OVERLOADED: "api_error",
    TIMEOUT: "api_error",
    SERVER: "api_error",
}
_ANTHROPIC = {
    INVALID: "invalid_request_error",
    AUTHENTICATION: "authentication_error",
    PERMISSION: "permission_error",
    NOT_FOUND: "not_found_error",
    TOO_LARGE: "request_too_large",
    RATE_LIMIT: "rate_limit_error",
    QUOTA: "billing_error",
    OVERLOADED: "overloaded_error",
    TIMEOUT: "timeout_error",
    SERVER: "api_error",
}
_OF_STATUS = {
    401: AUTHENTICATION, 402: QUOTA, 403: PERMISSION, 404: NOT_FOUND, 408: TIMEOUT, 413: TOO_LARGE, 429: RATE_LIMIT,
    503: OVERLOADED, 504: TIMEOUT, 529: OVERLOADED,
}  # fmt: skip
_STATUS_OF = {
    INVALID: 400, AUTHENTICATION: 401, PERMISSION: 403, NOT_FOUND: 404, TOO_LARGE: 413, RATE_LIMIT: 429, QUOTA: 402,
    OVERLOADED: 503, TIMEOUT: 504, SERVER: 502,
}  # fmt: skip
# What providers call an account without money, whatever the status that they send with it.
_QUOTA_WORDS = frozenset(
    ("insufficient_quota", "billing_error", "insufficient_balance", "billing_hard_limit_reached", "quota_exceeded")
)
_QUOTA_PHRASE = "credit balance is too low"  # Anthropic's, as an invalid request
_KINDS = {word: kind for kind, word in _ANTHROPIC.items()} | {
    "insufficient_quota": QUOTA,
    "rate_limit_exceeded": RATE_LIMIT,
    "invalid_request_error": INVALID,
    "context_length_exceeded": INVALID,
    "model_not_found": NOT_FOUND,
    "overloaded": OVERLOADED,
    "engine_overloaded": OVERLOADED,
}


def write(dialect: str, failure: Failure) -> bytes:
    """The body of an error in a caller's dialect."""
    return orjson.dumps(shown(dialect, failure))


def shown(dialect: str, failure: Failure) -> dict[str, Any]:
    """The same as an object."""
    if dialect == "anthropic":
        kind = _ANTHROPIC[failure.kind]
        code = {"code": failure.code} if failure.code not in ("", kind) else {}
        return {"type": "error", "error": {"type": kind, "message": failure.message, **code}}
    return {
        "error": {
            "message": failure.message,
            "type": _OPENAI[failure.kind],
            "param": failure.parameter or None,
            "code": failure.code or None,
        }
    }


def kind_of(status: int) -> str:
    """The kind of an error of which nothing but the status is known."""
    return _OF_STATUS.get(status) or (INVALID if 400 <= status < 500 else SERVER)


def status_of(kind: str) -> int:
    """The status that stands for a kind, where an error comes without one."""
    return _STATUS_OF[kind]


def read(status: int, body: bytes) -> Failure:
    """What a provider's error means, in whatever of the usual forms it comes."""
    try:
        told = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        told = None
    return told_failure(status, told)


def told_failure(status: int, told: Any) -> Failure:
    """The same of a decoded body; `status` 0 is for one in mid-stream, where only its words tell."""
    if isinstance(told, list) and told:  # Google sends an error in a list
        told = told[0]
    error: Any = told.get("error", told) if isinstance(told, dict) else told
    if isinstance(error, str):
        error = {"message": error, **(told if isinstance(told, dict) else {})}
    if not isinstance(error, dict):
        error = {}
    message = _text(error, "message") or _text(error, "detail") or "The provider failed without saying why."
    code, word = _text(error, "code"), _text(error, "type")
    if _QUOTA_WORDS & {code, word} or _QUOTA_PHRASE in message:
        kind = QUOTA
    elif status:
        kind = kind_of(status)
    else:
        number = error.get("code")
        kind = _KINDS.get(code) or _KINDS.get(word) or (kind_of(number) if isinstance(number, int) else SERVER)
    return Failure(status or _STATUS_OF[kind], kind, message, code or word, _text(error, "param"))


def _text(error: dict[Any, Any], name: str) -> str:
    value = error.get(name)
    return value[:MESSAGE_MAX] if isinstance(value, str) else ""


def streamed(form: str, failure: Failure) -> bytes:
    """The end of a stream that fails: of "chunks" (chat completions), "anthropic", or of OpenAI's other "events".

    An error of the latter is documented flat and sent nested: clients look for either.
    """
    told = shown("anthropic" if form == "anthropic" else "openai", failure)
    if form == "chunks":
        return sse.event(orjson.dumps(told)) + sse.DONE
    if form == "events":
        error = told["error"]
        told = {"type": "error", "code": error["code"], "message": error["message"], "param": error["param"], **told}
    return sse.event(orjson.dumps(told), b"error")

"""Decides how each provider says that something is wrong: status, fields and body, as the provider words it."""

from __future__ import annotations

import json
from typing import Any

# name: (status, of OpenAI, of Anthropic, of Gemini, of Bedrock)
#   OpenAI: (type, code, message); Anthropic: type; Gemini: status; Bedrock: exception
ERRORS: dict[str, tuple[int, tuple[str, str | None, str], str, str, str]] = {
    "invalid": (
        400, ("invalid_request_error", None, "Invalid value for a parameter."),
        "invalid_request_error", "INVALID_ARGUMENT", "ValidationException",
    ),
    "context": (
        400, ("invalid_request_error", "context_length_exceeded",
              "This model's maximum context length is 128000 tokens."),
        "invalid_request_error", "INVALID_ARGUMENT", "ValidationException",
    ),
    "auth": (
        401, ("invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-prov***0001."),
        "authentication_error", "UNAUTHENTICATED", "UnrecognizedClientException",
    ),
    "billing": (
        402, ("unknown_error", "invalid_request_error", "Insufficient Balance"),
        "billing_error", "FAILED_PRECONDITION", "AccessDeniedException",
    ),
    "permission": (
        403, ("invalid_request_error", "model_not_found", "Project does not have access to this model."),
        "permission_error", "PERMISSION_DENIED", "AccessDeniedException",
    ),
    "not_found": (
        404, ("invalid_request_error", "model_not_found",
              "The model does not exist or you do not have access to it."),
        "not_found_error", "NOT_FOUND", "ResourceNotFoundException",
    ),
    "rate_limit": (
        429, ("tokens", "rate_limit_exceeded", "Rate limit reached for tokens per min (TPM)."),
        "rate_limit_error", "RESOURCE_EXHAUSTED", "ThrottlingException",
    ),
    "insufficient_quota": (
        429, ("insufficient_quota", "insufficient_quota",
              "You exceeded your current quota, please check your plan and billing details."),
        "rate_limit_error", "RESOURCE_EXHAUSTED", "ServiceQuotaExceededException",
    ),
    "server": (
        500, ("server_error", None, "The server had an error while processing your request."),
        "api_error", "INTERNAL", "InternalServerException",
    ),
    "bad_gateway": (
        502, ("server_error", None, "Bad gateway."), "api_error", "INTERNAL", "InternalServerException",
    ),
    "unavailable": (
        503, ("server_error", "service_unavailable", "That model is currently overloaded with other requests."),
        "api_error", "UNAVAILABLE", "ServiceUnavailableException",
    ),
    "overloaded": (
        529, ("server_error", "overloaded", "The engine is currently overloaded."),
        "overloaded_error", "UNAVAILABLE", "ModelNotReadyException",
    ),
}  # fmt: skip
ANTHROPIC_MESSAGES = {"overloaded_error": "Overloaded", "authentication_error": "invalid x-api-key"}


def status_of(name: str, dialect: str) -> int:
    """The status that a provider gives; Gemini and Bedrock have no 402 and no 529."""
    status = ERRORS[name][0]
    if dialect in {"gemini", "bedrock"}:
        return {402: 403, 529: 503}.get(status, status)
    return status


def body_of(name: str, dialect: str, request_id: str) -> dict[str, Any]:
    """The body of an error, and the data of an error event in mid-stream."""
    _, (kind, code, message), anthropic, google, _ = ERRORS[name]
    if dialect == "anthropic":
        said = ANTHROPIC_MESSAGES.get(anthropic, message)
        return {"type": "error", "error": {"type": anthropic, "message": said}, "request_id": request_id}
    if dialect == "gemini":
        return {"error": {"code": status_of(name, dialect), "message": message, "status": google}}
    if dialect == "bedrock":
        return {"message": message}
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def encoded(name: str, dialect: str, request_id: str) -> bytes:
    """The body as its provider sets it: OpenAI and Gemini in lines, Anthropic and Bedrock without a space."""
    body = body_of(name, dialect, request_id)
    if dialect in {"anthropic", "bedrock"}:
        return json.dumps(body, separators=(",", ":")).encode()
    return json.dumps(body, indent=4 if dialect == "openai" else 2).encode() + b"\n"


def fields_of(name: str, dialect: str, request_id: str) -> list[tuple[str, str]]:
    """Fields of the head that belong to an error."""
    if dialect == "bedrock":
        return [("x-amzn-ErrorType", ERRORS[name][4]), ("x-amzn-RequestId", request_id)]
    if dialect == "anthropic" and ERRORS[name][0] in {429, 500, 529}:
        return [("x-should-retry", "true")]
    return []

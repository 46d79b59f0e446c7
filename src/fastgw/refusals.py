"""Every refusal the gateway can give: one row each, and its precomputed bytes in each error dialect.

A row's name in lower case is its stable code: in bodies, metrics and the call log alike. What differs from one answer
to the next, the numbers that a program needs, is left out of the bytes: a template says where each goes.
"""

from enum import IntEnum
from http import HTTPStatus
from typing import Any, NamedTuple

import orjson

DIALECTS = ("problem", "openai", "anthropic")

# The problem type that draft-ietf-httpapi-ratelimit-headers registers for a 429.
QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"


class Refusal(IntEnum):
    """The verdicts of admission and of forwarding; 0 is none. The number is the row's place in every counter."""

    ADMITTED = 0
    BAD_REQUEST = 1
    AMBIGUOUS_KEY = 2
    MISSING_KEY = 3
    UNKNOWN_KEY = 4
    REVOKED_KEY = 5
    EXPIRED_KEY = 6
    INSUFFICIENT_BALANCE = 7
    BALANCE_HELD = 8
    NO_ROUTE = 9
    REQUEST_TIMEOUT = 10
    BODY_TOO_LARGE = 11
    URL_TOO_LONG = 12
    EXPECTATION_FAILED = 13
    RATE_LIMITED = 14
    HEAD_TOO_LARGE = 15
    NOT_IMPLEMENTED = 16
    UPSTREAM_FAILED = 17
    OVERLOADED = 18
    UPSTREAM_TIMEOUT = 19
    VERSION_NOT_SUPPORTED = 20
    UPSTREAM_UNREACHABLE = 21
    UPSTREAM_CONNECT_TIMEOUT = 22
    CLIENT_GONE = 23
    ACCOUNT_SUSPENDED = 24
    SUBSCRIPTION_EXPIRED = 25
    QUOTA_EXHAUSTED = 26
    BUDGET_EXHAUSTED = 27
    LEDGER_UNAVAILABLE = 28
    IDEMPOTENCY_KEY_INVALID = 29
    IDEMPOTENCY_IN_FLIGHT = 30
    IDEMPOTENCY_MISMATCH = 31
    IDEMPOTENCY_NO_ANSWER = 32
    UPSTREAM_UNTRUSTED = 33
    UNKNOWN_CERTIFICATE = 34
    UPSTREAM_UNAVAILABLE = 35
    WORKER_DIED = 36  # of calls that had come to cost something by then
    MODEL_NOT_FOUND = 37
    MODEL_UNAVAILABLE = 38
    UNSUPPORTED_PARAMETER = 39
    INVALID_BODY = 40
    PROVIDER_REFUSED = 41
    TOKENS_LIMITED = 42
    TOKEN_QUOTA_EXHAUSTED = 43
    UNKNOWN_TAG = 44
    TAG_BUDGET_EXHAUSTED = 45
    ANSWER_TOO_LARGE = 46
    TOO_MANY_TOKENS = 47
    ANSWER_INVALID = 48


class Number(IntEnum):
    """What a body carries of the call that was refused; the name in lower case is the member's.

    Money is a decimal string of the currency's unit, a time is RFC 3339 in UTC, to the second.
    """

    PRICE = 0  # money: what the call would have held
    AVAILABLE = 1  # money: what could have been held
    LIMIT = 2  # calls or tokens in the window
    USED = 3  # of them, those in flight included
    WINDOW = 4  # "day" or "month"
    RESETS_AT = 5  # a time; null when it never does
    EXPIRED_AT = 6  # a time
    REQUEST_ID = 7  # of the request


class Row(NamedTuple):
    """What one refusal says."""

    status: int
    title: str
    detail: str
    openai_type: str
    retryable: bool = False
    challenge: str = ""  # of WWW-Authenticate, after the realm
    retry_after_s: int = 0
    fields: tuple[tuple[str, str], ...] = ()
    numbers: tuple[Number, ...] = ()


class Template(NamedTuple):
    """The bytes of a refusal: `start` is the status line and whole fields, `parts` the pieces of the body.

    Between part i and i + 1 belongs the number `numbers[i]`, as a token of JSON. Without numbers there is one part, and
    `start` has its Content-Length; with them, the length is for who renders it to say.
    """

    start: bytes
    parts: tuple[bytes, ...]
    numbers: tuple[Number, ...]


_AUTH = "authentication_error"
_BAD = "invalid_request_error"
_UPSTREAM = "api_error"
_QUOTA = "insufficient_quota"

# `x-should-retry: false` stops the SDKs of this field from sending again a call that may have been served.
_NO_RETRY = (("X-Should-Retry", "false"),)
# And `true` has them send one again that they would not for its status.
_RETRY = (("X-Should-Retry", "true"),)

TABLE: dict[Refusal, Row] = {
    Refusal.BAD_REQUEST: Row(
        400, "Bad request", "The request is not valid HTTP/1.1, or its path has dot segments.", _BAD
    ),
    Refusal.AMBIGUOUS_KEY: Row(400, "Two keys", "The request carries two different keys; send one.", _BAD),
    Refusal.MISSING_KEY: Row(
        401, "No key", "Send your key as 'Authorization: Bearer <key>' or 'x-api-key: <key>'.", _AUTH
    ),
    Refusal.UNKNOWN_KEY: Row(
        401,
        "Unknown key",
        "This key is not known here; check for typing errors.",
        _AUTH,
        challenge='error="invalid_token"',
    ),
    Refusal.UNKNOWN_CERTIFICATE: Row(
        401,
        "Unknown certificate",
        "Your client certificate is valid, but nobody's key here; have it made one, or send a key.",
        _AUTH,
    ),
    Refusal.REVOKED_KEY: Row(
        401, "Revoked key", "This key has been revoked; use another one.", _AUTH, challenge='error="invalid_token"'
    ),
    Refusal.EXPIRED_KEY: Row(
        401, "Expired key", "This key has expired; use another one.", _AUTH, challenge='error="invalid_token"'
    ),
    Refusal.INSUFFICIENT_BALANCE: Row(
        402,
        "Insufficient balance",
        "The balance does not cover the price of this call; top up and try again.",
        _QUOTA,
        numbers=(Number.PRICE, Number.AVAILABLE),
    ),
    Refusal.BALANCE_HELD: Row(
        402,
        "Balance held",
        "Calls still in flight hold the money that this call needs; try again when they are done.",
        _QUOTA,
        retryable=True,
        retry_after_s=1,
        fields=_RETRY,
        numbers=(Number.PRICE, Number.AVAILABLE),
    ),
    Refusal.BUDGET_EXHAUSTED: Row(
        402,
        "Budget exhausted",
        "The budget of this key does not cover the price of this call; wait until it resets, or have it raised.",
        _QUOTA,
        numbers=(Number.PRICE, Number.AVAILABLE, Number.RESETS_AT),
    ),
    Refusal.QUOTA_EXHAUSTED: Row(
        402,
        "Quota exhausted",
        "The plan's calls of this window are used up; wait until it resets, or change to a larger plan.",
        _QUOTA,
        numbers=(Number.LIMIT, Number.USED, Number.WINDOW, Number.RESETS_AT),
    ),
    Refusal.SUBSCRIPTION_EXPIRED: Row(
        402,
        "Subscription expired",
        "The subscription of this account has ended; renew it and try again.",
        _QUOTA,
        numbers=(Number.EXPIRED_AT,),
    ),
    Refusal.TAG_BUDGET_EXHAUSTED: Row(
        402,
        "Tag budget exhausted",
        "The budget of this tag does not cover the price of this call; wait until it resets, or have it raised.",
        _QUOTA,
        numbers=(Number.PRICE, Number.AVAILABLE, Number.RESETS_AT),
    ),
    Refusal.TOKEN_QUOTA_EXHAUSTED: Row(
        402,
        "Token quota exhausted",
        "The plan's tokens of this window do not cover this call; wait until it resets, or change to a larger plan.",
        _QUOTA,
        numbers=(Number.LIMIT, Number.USED, Number.WINDOW, Number.RESETS_AT),
    ),
    Refusal.UNKNOWN_TAG: Row(
        400,
        "Unknown tag",
        "This account has no such tag now. X-Fastgw-Tag is 1 to 64 of A-Z a-z 0-9 . _ : - and names one of its own.",
        _BAD,
    ),
    Refusal.INVALID_BODY: Row(
        400, "Invalid body", "The body is no JSON object as this endpoint takes it; see its documentation.", _BAD
    ),
    Refusal.UNSUPPORTED_PARAMETER: Row(
        400,
        "Unsupported parameter",
        "The body asks for something that cannot be said to the provider of this model; leave it out.",
        _BAD,
    ),
    Refusal.TOO_MANY_TOKENS: Row(
        400,
        "Too many tokens",
        "The call may use more tokens than its limit ever lets through at once; ask for fewer.",
        _BAD,
        numbers=(Number.LIMIT,),
    ),
    Refusal.MODEL_NOT_FOUND: Row(
        404, "Model not found", "No model of this name is served here; GET the list of models for those that are.", _BAD
    ),
    Refusal.ACCOUNT_SUSPENDED: Row(
        403,
        "Account suspended",
        "The account of this key is suspended or closed; ask whoever runs this service.",
        "permission_error",
    ),
    Refusal.NO_ROUTE: Row(404, "Not found", "No route takes this method, host and path.", _BAD),
    Refusal.REQUEST_TIMEOUT: Row(408, "Request timeout", "The request did not arrive in time.", _BAD, retryable=True),
    Refusal.IDEMPOTENCY_IN_FLIGHT: Row(
        409,
        "Still in flight",
        "The call with this Idempotency-Key is not done yet; send it again later to get its answer.",
        _BAD,
        retryable=True,
        retry_after_s=1,
    ),
    Refusal.IDEMPOTENCY_NO_ANSWER: Row(
        409,
        "Answer not kept",
        "The call with this Idempotency-Key is done and charged, and its answer is no longer kept; do not repeat it.",
        _BAD,
        fields=_NO_RETRY,
    ),
    Refusal.BODY_TOO_LARGE: Row(413, "Body too large", "The request body is larger than this gateway takes.", _BAD),
    Refusal.URL_TOO_LONG: Row(414, "URL too long", "The request target is longer than this gateway takes.", _BAD),
    Refusal.EXPECTATION_FAILED: Row(417, "Expectation failed", "Only 'Expect: 100-continue' is understood.", _BAD),
    Refusal.IDEMPOTENCY_KEY_INVALID: Row(
        400,
        "Invalid Idempotency-Key",
        "Send one Idempotency-Key of 1 to 255 visible ASCII characters, and nothing else with it.",
        _BAD,
    ),
    Refusal.IDEMPOTENCY_MISMATCH: Row(
        422,
        "Another request",
        "This Idempotency-Key came with another request before; use a new key for a new request.",
        _BAD,
    ),
    Refusal.RATE_LIMITED: Row(
        429,
        "Too many requests",
        "The rate limit is used up; try again after the seconds in Retry-After.",
        "rate_limit_exceeded",
        retryable=True,
    ),
    Refusal.TOKENS_LIMITED: Row(
        429,
        "Too many tokens",
        "The limit of tokens is used up; try again after the seconds in Retry-After.",
        "tokens",
        retryable=True,
    ),
    Refusal.HEAD_TOO_LARGE: Row(431, "Head too large", "The request's fields are too many or too large.", _BAD),
    Refusal.NOT_IMPLEMENTED: Row(
        501, "Not implemented", "The gateway does not take this method or transfer coding.", _BAD
    ),
    Refusal.UPSTREAM_FAILED: Row(
        502,
        "Upstream failed",
        "The service behind the gateway failed to answer, but may have done its work; repeat only what is harmless.",
        _UPSTREAM,
        fields=_NO_RETRY,
    ),
    Refusal.PROVIDER_REFUSED: Row(
        502,
        "Provider refused",
        "The provider of this model does not accept the gateway's credentials; whoever runs this service must mend it.",
        _UPSTREAM,
        fields=_NO_RETRY,
    ),
    Refusal.ANSWER_TOO_LARGE: Row(
        502,
        "Answer too large",
        "The provider's answer is larger than this gateway can take in; it was charged, ask for less.",
        _UPSTREAM,
        fields=_NO_RETRY,
    ),
    Refusal.ANSWER_INVALID: Row(
        502,
        "Answer invalid",
        "The model's answer is not of the form that this prompt promises; it was charged.",
        _UPSTREAM,
        fields=_NO_RETRY,
    ),
    Refusal.MODEL_UNAVAILABLE: Row(
        503,
        "Model unavailable",
        "No provider of this model can be asked now; nothing was sent or charged.",
        _UPSTREAM,
        retryable=True,
        retry_after_s=5,
    ),
    Refusal.OVERLOADED: Row(
        503,
        "Unavailable",
        "The service is at its limit; nothing was sent or charged.",
        _UPSTREAM,
        retryable=True,
        retry_after_s=1,
    ),
    Refusal.UPSTREAM_UNAVAILABLE: Row(
        503,
        "Upstream unavailable",
        "No server of the service behind the gateway is up; nothing was sent or charged.",
        _UPSTREAM,
        retryable=True,
        retry_after_s=5,
    ),
    Refusal.LEDGER_UNAVAILABLE: Row(
        503,
        "Ledger unavailable",
        "Calls that cost money cannot be booked just now; nothing was sent or charged, try again soon.",
        _UPSTREAM,
        retryable=True,
        retry_after_s=1,
    ),
    Refusal.UPSTREAM_TIMEOUT: Row(
        504,
        "Upstream timeout",
        "The service behind the gateway did not answer in time, but may yet do its work; repeat only what is harmless.",
        _UPSTREAM,
        fields=_NO_RETRY,
    ),
    Refusal.UPSTREAM_UNREACHABLE: Row(
        502,
        "Upstream unreachable",
        "The service behind the gateway refuses connections; nothing was sent or charged.",
        _UPSTREAM,
        retryable=True,
        retry_after_s=1,
    ),
    Refusal.UPSTREAM_UNTRUSTED: Row(
        502,
        "Upstream not trusted",
        "The service behind the gateway could not prove that it is the right one; nothing was sent or charged.",
        _UPSTREAM,
        retryable=True,
        retry_after_s=10,
    ),
    Refusal.UPSTREAM_CONNECT_TIMEOUT: Row(
        504,
        "Upstream connect timeout",
        "The service behind the gateway did not accept a connection in time; nothing was sent or charged.",
        _UPSTREAM,
        retryable=True,
        retry_after_s=1,
    ),
    Refusal.VERSION_NOT_SUPPORTED: Row(505, "Version not supported", "The gateway speaks HTTP/1.0 and HTTP/1.1.", _BAD),
}


# What the Anthropic API calls an error of that status; a 5xx that is not here is an api_error, another an _BAD.
ANTHROPIC_TYPES = {
    401: _AUTH, 402: "billing_error", 403: "permission_error", 404: "not_found_error", 413: "request_too_large",
    429: "rate_limit_error", 503: "overloaded_error", 504: "timeout_error",
}  # fmt: skip
# Of a body: what closes it, the innermost object first, where what differs from call to call belongs.
ENDS = {"problem": b"}", "openai": b"}}", "anthropic": b"}}"}
MEDIA = {"problem": "application/problem+json", "openai": "application/json", "anthropic": "application/json"}


def body(refusal: Refusal, dialect: str, *, docs_url: str = "", top_up_url: str = "") -> bytes:
    """The JSON of a refusal, but for what differs from call to call: RFC 9457 problem details, or the error object of
    the OpenAI or the Anthropic API, with our code besides."""
    row = TABLE[refusal]
    code = refusal.name.lower()
    links: dict[str, Any] = {}
    if docs_url:
        links["docs_url"] = f"{docs_url}#{code}"
    if top_up_url and row.status == HTTPStatus.PAYMENT_REQUIRED:
        links["top_up_url"] = top_up_url
    if dialect == "openai":
        error = {"message": row.detail, "type": row.openai_type, "param": None, "code": code, **links}
        return orjson.dumps({"error": error})
    if dialect == "anthropic":
        kind = ANTHROPIC_TYPES.get(row.status, _BAD if row.status < HTTPStatus.INTERNAL_SERVER_ERROR else _UPSTREAM)
        error = {"type": kind, "message": row.detail, "code": code, "retryable": row.retryable, **links}
        return orjson.dumps({"type": "error", "error": error})
    kind = QUOTA_EXCEEDED if refusal is Refusal.RATE_LIMITED else "about:blank"
    return orjson.dumps(
        {
            "type": f"{docs_url}#{code}" if docs_url else kind,
            "title": row.title,
            "status": row.status,
            "detail": row.detail,
            "code": code,
            "retryable": row.retryable,
            **links,
        }
    )


def body_parts(
    refusal: Refusal, dialect: str, *, docs_url: str = "", top_up_url: str = ""
) -> tuple[tuple[bytes, ...], tuple[Number, ...]]:
    """The body in pieces, and the number that belongs behind each but the last: those of the row are the last members
    of the innermost object, the request's id, in Anthropic's, of the outermost."""
    whole = body(refusal, dialect, docs_url=docs_url, top_up_url=top_up_url)
    numbers = TABLE[refusal].numbers
    before = [b',"%b":' % number.name.lower().encode() for number in numbers]
    ends = ENDS[dialect]
    if dialect == "anthropic":
        numbers = (*numbers, Number.REQUEST_ID)
        before.append(b'},"request_id":')
        ends = b"}"
    if not numbers:
        return (whole,), ()
    return (whole.removesuffix(ENDS[dialect]) + before[0], *before[1:], ends), numbers


def head(refusal: Refusal, dialect: str, length: int | None, *, realm: str) -> bytes:
    """Status line and constant fields, without the empty line; `length` is the body's, in bytes, None if it varies."""
    row = TABLE[refusal]
    lines = [f"HTTP/1.1 {row.status} {HTTPStatus(row.status).phrase}", f"Content-Type: {MEDIA[dialect]}"]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    if row.status == HTTPStatus.UNAUTHORIZED:
        lines.append(f'WWW-Authenticate: Bearer realm="{realm}"' + (f", {row.challenge}" if row.challenge else ""))
    if row.retry_after_s:
        lines.append(f"Retry-After: {row.retry_after_s}")
    lines += [f"{name}: {value}" for name, value in row.fields]
    return "".join(line + "\r\n" for line in lines).encode("latin-1")


def templates(*, realm: str, docs_url: str, top_up_url: str) -> list[list[Template | None]]:
    """For each dialect, one template per number of `Refusal`; None where nothing is ever sent."""
    rows: list[list[Template | None]] = []
    for dialect in DIALECTS:
        row: list[Template | None] = []
        for refusal in Refusal:
            if refusal not in TABLE:
                row.append(None)
                continue
            parts, numbers = body_parts(refusal, dialect, docs_url=docs_url, top_up_url=top_up_url)
            length = len(parts[0]) if not numbers else None
            row.append(Template(head(refusal, dialect, length, realm=realm), parts, numbers))
        rows.append(row)
    return rows

"""Decides what paths, queries and header fields of the admin API may say, and reads the fields of bodies."""

from collections.abc import Callable
from typing import Annotated, TypeVar

from litestar.di import NamedDependency
from litestar.params import HeaderParameter, PathParameter, QueryParameter, SkipValidation
from msgspec import UnsetType

from . import ports, services
from .bodies import ACCOUNT, IDEMPOTENCY_KEY, KEY_ID, TAG, TARGET, UPSTREAM
from .problems import invalid

T = TypeVar("T")
R = TypeVar("R")

LIMIT_MAX = 1_000
CURSOR_MAX = (1 << 53) - 1  # what every reader of JSON has exactly

Books = NamedDependency[SkipValidation[ports.Books]]
Services = NamedDependency[SkipValidation[services.Services]]

AccountInPath = Annotated[str, PathParameter(pattern=ACCOUNT, description="An account's name")]
TagInPath = Annotated[str, PathParameter(pattern=TAG, description="A tag's name")]
TagCursor = Annotated[str | None, QueryParameter(pattern=TAG, description="`next` of a page")]
KeyInPath = Annotated[str, PathParameter(pattern=KEY_ID, description="A key's id")]
UpstreamInPath = Annotated[str, PathParameter(pattern=UPSTREAM, description="An upstream's name")]
TargetInPath = Annotated[str, PathParameter(pattern=TARGET, description="A target's name, like 10.0.0.1:9000")]
Limit = Annotated[int, QueryParameter(ge=1, le=LIMIT_MAX, description="Most items of a page")]
AccountFilter = Annotated[str | None, QueryParameter(pattern=ACCOUNT, description="Of this account alone")]
AccountCursor = Annotated[str | None, QueryParameter(pattern=ACCOUNT, description="`next` of a page")]
KeyCursor = Annotated[str | None, QueryParameter(pattern=KEY_ID, description="`next` of a page")]
EntryCursor = Annotated[int, QueryParameter(ge=0, le=CURSOR_MAX, description="`next` of a page")]
IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        pattern=IDEMPOTENCY_KEY,
        description="1 to 255 characters, in quotes or not; the same again gives the first answer again, "
        "and with another body 422",
    ),
]


def idempotency_key(field: str | None) -> str:
    """The key without the quotes of a structured field's string, "" for none."""
    return (field or "").removeprefix('"').removesuffix('"')


def page(
    ask: Callable[[int], list[T]], limit: int, show: Callable[[T], R], cursor: Callable[[T], str]
) -> tuple[list[R], str | None]:
    """At most `limit` items, and the cursor of the next page; `ask` gives as many as it is told, at most LIMIT_MAX."""
    found = ask(min(limit + 1, LIMIT_MAX))
    shown = found[:limit]
    # The largest page leaves no room for one more: what follows it may be empty.
    more = len(found) > limit or len(found) == LIMIT_MAX
    return [show(item) for item in shown], cursor(shown[-1]) if more else None


def field(name: str, convert: Callable[[T], R], value: T, place: str = "body") -> R:
    """A field of the body, or of another place, converted. Raises Refused where it cannot be."""
    try:
        return convert(value)
    except ValueError as error:
        raise invalid(f"{place}.{name}", str(error)) from None


def changed(name: str, convert: Callable[[T], R], value: T | UnsetType, none: R | None = None) -> R | None:
    """A field of a change, converted; `none` where it is left out."""
    return none if isinstance(value, UnsetType) else field(name, convert, value)

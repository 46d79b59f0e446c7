"""Decides what /v1/keys answers: keys without their secrets, which are shown once, when they are made."""

from typing import Any

from litestar import Controller, get, patch, post
from litestar.params import JSONBody
from msgspec import UNSET

from ..identities import of_text
from ..model import Rate
from ..scopes import scope
from .bodies import KeyChange, NewKey, Rotation
from .parameters import AccountFilter, Books, KeyCursor, KeyInPath, Limit, field, page
from .problems import documented, invalid
from .resources import Key, KeyPage, KeyWithSecret, key
from .written import nanos_of, rate_of, seconds_of

_CHANGES = (
    "not_found", "declared_in_file", "body_too_large", "unsupported_media_type", "invalid_value", "ledger_unavailable",
)  # fmt: skip


def rate_in(text: str | None, burst: int | None, name: str = "rate") -> Rate | None:
    """The bucket of a body's `rate` and `burst`."""
    if text is None:
        if burst is not None:
            raise invalid("body.burst", "needs a rate")
        return None
    return field(name, lambda written: rate_of(written, burst), text)


def models_in(given: list[str] | None) -> tuple[str, ...]:
    """A body's set of models; () for all."""
    return () if given is None else field("models", scope, given)


def changes_in(data: KeyChange) -> dict[str, Any]:
    """The arguments of `Books.change_key` for what a body says."""
    found: dict[str, Any] = {}
    if data.name is not UNSET:
        found["name"] = data.name
    if data.rate is not UNSET:
        found["rate"] = rate_in(data.rate, None if data.burst is UNSET else data.burst)
    elif data.burst is not UNSET:
        raise invalid("body.burst", "needs its rate beside it")
    if data.token_rate is not UNSET:
        found["token_rate"] = rate_in(data.token_rate, None, "token_rate")
    if data.models is not UNSET:
        found["models"] = models_in(data.models)
    if data.budget is not UNSET:
        found["budget_nanos"] = 0 if data.budget is None else field("budget", nanos_of, data.budget)
    if data.budget_period is not UNSET:
        found["budget_period"] = data.budget_period
    if data.expires is not UNSET:
        found["expires_s"] = field("expires", seconds_of, data.expires)
    return found


class Keys(Controller):
    path = "/v1/keys"
    tags = ("keys",)

    @get(sync_to_thread=True, summary="Keys", responses=documented("not_found", "ledger_unavailable"))
    def list_keys(
        self,
        books: Books,
        account: AccountFilter = None,
        limit: Limit = 100,
        cursor: KeyCursor = None,
    ) -> KeyPage:
        """Those of the file and those of the API, revoked ones included."""
        return KeyPage(
            *page(lambda most: books.keys(account or "", cursor or "", most), limit, key, lambda view: view.id)
        )

    @post(
        sync_to_thread=True,
        summary="Create a key",
        responses=documented("not_found", "conflict", "body_too_large", "unsupported_media_type", "invalid_value",
                             "ledger_unavailable"),
    )  # fmt: skip
    def create_key(self, books: Books, data: JSONBody[NewKey]) -> KeyWithSecret:
        """The secret is in this answer and nowhere else: the gateway keeps a digest of it. A certificate has none."""
        if data.budget_period and data.budget is None:
            raise invalid("body.budget_period", "needs a budget")
        view, secret = books.create_key(
            data.account,
            name=data.name,
            rate=rate_in(data.rate, data.burst),
            budget_nanos=0 if data.budget is None else field("budget", nanos_of, data.budget),
            budget_period=data.budget_period,
            expires_s=field("expires", seconds_of, data.expires),
            token_rate=rate_in(data.token_rate, None, "token_rate"),
            models=models_in(data.models),
            identity="" if data.certificate is None else field("certificate", of_text, data.certificate),
        )
        return KeyWithSecret(secret, key(view))

    @get("/{id:str}", sync_to_thread=True, summary="A key", responses=documented("not_found", "ledger_unavailable"))
    def get_key(self, books: Books, id: KeyInPath) -> Key:
        """With what its budget has spent in this window."""
        return key(books.key(id))

    @patch("/{id:str}", sync_to_thread=True, summary="Change a key", responses=documented(*_CHANGES))
    def change_key(self, books: Books, id: KeyInPath, data: JSONBody[KeyChange]) -> Key:
        """Effective in every worker at once. The file's keys are changed in the file."""
        return key(books.change_key(id, **changes_in(data)))

    @post("/{id:str}/rotate", sync_to_thread=True, summary="Give a key another secret",
          responses=documented("conflict", *_CHANGES))  # fmt: skip
    def rotate_key(self, books: Books, id: KeyInPath, data: JSONBody[Rotation]) -> KeyWithSecret:
        """The old secret goes on for `grace_seconds`. What is answered is a key of its own, with an id of its own."""
        view, secret = books.rotate_key(id, grace_s=data.grace_seconds)
        return KeyWithSecret(secret, key(view))

    @post("/{id:str}/revoke", sync_to_thread=True, summary="Revoke a key", status_code=200,
          responses=documented("not_found", "declared_in_file", "ledger_unavailable"))  # fmt: skip
    def revoke_key(self, books: Books, id: KeyInPath) -> Key:
        """For good, in every worker at once; calls in flight end as they would."""
        return key(books.revoke_key(id))

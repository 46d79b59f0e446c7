"""Decides what /v1/accounts answers: accounts, what comes in and goes out by hand, and the entries of the ledger."""

from litestar import Controller, get, patch, post
from litestar.params import JSONBody

from .bodies import AccountChange, Adjustment, NewAccount, TopUp
from .parameters import (
    AccountCursor,
    AccountInPath,
    Books,
    EntryCursor,
    IdempotencyKey,
    Limit,
    changed,
    field,
    idempotency_key,
    page,
)
from .problems import documented
from .resources import Account, AccountPage, Entry, EntryPage, account, entry
from .written import nanos_of, seconds_of


class Accounts(Controller):
    path = "/v1/accounts"
    tags = ("accounts",)

    @get(sync_to_thread=True, summary="Accounts by name", responses=documented("ledger_unavailable"))
    def list_accounts(self, books: Books, limit: Limit = 100, cursor: AccountCursor = None) -> AccountPage:
        """Those of the file and those of the API."""
        return AccountPage(
            *page(lambda most: books.accounts(cursor or "", most), limit, account, lambda view: view.name)
        )

    @post(
        sync_to_thread=True,
        summary="Create an account",
        responses=documented("conflict", "body_too_large", "unsupported_media_type", "invalid_value",
                             "ledger_unavailable"),
    )  # fmt: skip
    def create_account(self, books: Books, data: JSONBody[NewAccount]) -> Account:
        """Without money: top it up. 409 when the name is taken."""
        view = books.create_account(
            data.name,
            credit_nanos=field("credit", nanos_of, data.credit),
            plan=data.plan,
            expires_s=field("expires", seconds_of, data.expires),
            suspended=data.suspended,
        )
        return account(view)

    @get("/{name:str}", sync_to_thread=True, summary="An account",
         responses=documented("not_found", "ledger_unavailable"))  # fmt: skip
    def get_account(self, books: Books, name: AccountInPath) -> Account:
        """Its balance now, calls in flight included, and its quotas."""
        return account(books.account(name))

    @patch(
        "/{name:str}",
        sync_to_thread=True,
        summary="Change an account",
        responses=documented("not_found", "declared_in_file", "body_too_large", "unsupported_media_type",
                             "invalid_value", "ledger_unavailable"),
    )  # fmt: skip
    def change_account(self, books: Books, name: AccountInPath, data: JSONBody[AccountChange]) -> Account:
        """Effective in every worker at once. The file's accounts are changed in the file."""
        view = books.change_account(
            name,
            credit_nanos=changed("credit", nanos_of, data.credit),
            plan=changed("plan", str, data.plan),
            expires_s=changed("expires", seconds_of, data.expires),
            suspended=changed("suspended", bool, data.suspended),
        )
        return account(view)

    @post(
        "/{name:str}/topups",
        sync_to_thread=True,
        summary="Top up",
        responses=documented("not_found", "conflict", "body_too_large", "unsupported_media_type",
                             "idempotency_mismatch", "invalid_value", "ledger_unavailable"),
    )  # fmt: skip
    def top_up(
        self, books: Books, name: AccountInPath, data: JSONBody[TopUp], idempotency: IdempotencyKey = None
    ) -> Entry:
        """Durable when it is answered; with an Idempotency-Key it is safe to send again."""
        view = books.top_up(
            name,
            field("amount", nanos_of, data.amount),
            reference=data.reference,
            note=data.note,
            expires_s=field("expires", seconds_of, data.expires),
            idempotency_key=idempotency_key(idempotency),
        )
        return entry(view)

    @post(
        "/{name:str}/adjustments",
        sync_to_thread=True,
        summary="Adjust by hand",
        responses=documented("not_found", "conflict", "insufficient_balance", "body_too_large",
                             "unsupported_media_type", "idempotency_mismatch", "invalid_value", "ledger_unavailable"),
    )  # fmt: skip
    def adjust(
        self, books: Books, name: AccountInPath, data: JSONBody[Adjustment], idempotency: IdempotencyKey = None
    ) -> Entry:
        """Add or, with a negative amount, take: at most what is available, else 409 with the number."""
        view = books.adjust(
            name,
            field("amount", nanos_of, data.amount),
            note=data.note,
            reference=data.reference,
            idempotency_key=idempotency_key(idempotency),
        )
        return entry(view)

    @get("/{name:str}/entries", sync_to_thread=True, summary="Entries of the ledger, oldest first",
         responses=documented("not_found", "ledger_unavailable"))  # fmt: skip
    def list_entries(self, books: Books, name: AccountInPath, limit: Limit = 100, cursor: EntryCursor = 0) -> EntryPage:
        """What was charged until now is among them, as captures in sum; each call is in /v1/calls."""
        return EntryPage(*page(lambda most: books.entries(name, cursor, most), limit, entry, lambda view: str(view.id)))

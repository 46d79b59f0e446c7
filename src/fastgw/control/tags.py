"""Decides what /v1/accounts/NAME/tags answers: what calls are counted by besides, each with what is left of it."""

from litestar import Controller, delete, get, post
from litestar.params import JSONBody

from .bodies import NewTag
from .parameters import AccountInPath, Books, Limit, TagCursor, TagInPath, field, page
from .problems import documented, invalid
from .resources import Tag, TagPage, tag
from .written import nanos_of, seconds_of


class Tags(Controller):
    path = "/v1/accounts/{name:str}/tags"
    tags = ("tags",)

    @get(sync_to_thread=True, summary="Tags of an account", responses=documented("not_found", "ledger_unavailable"))
    def list_tags(self, books: Books, name: AccountInPath, limit: Limit = 100, cursor: TagCursor = None) -> TagPage:
        """By name: those of the file, those made here, and those made at their first use."""
        return TagPage(*page(lambda most: books.tags(name, cursor or "", most), limit, tag, lambda view: view.name))

    @post(
        sync_to_thread=True,
        summary="Create a tag",
        responses=documented("not_found", "conflict", "body_too_large", "unsupported_media_type", "invalid_value",
                             "ledger_unavailable"),
    )  # fmt: skip
    def create_tag(self, books: Books, name: AccountInPath, data: JSONBody[NewTag]) -> Tag:
        """Calls may name it at once. One that was removed goes on with what its budget has used."""
        if data.budget_period and data.budget is None:
            raise invalid("body.budget_period", "needs a budget")
        view = books.create_tag(
            name,
            data.name,
            budget_nanos=0 if data.budget is None else field("budget", nanos_of, data.budget),
            budget_period=data.budget_period,
            expires_s=field("expires", seconds_of, data.expires),
        )
        return tag(view)

    @delete("/{tag_name:str}", sync_to_thread=True, summary="Remove a tag",
            responses=documented("not_found", "declared_in_file", "ledger_unavailable"))  # fmt: skip
    def remove_tag(self, books: Books, name: AccountInPath, tag_name: TagInPath) -> None:
        """Refused in every worker from now on; calls in flight end as they would."""
        books.remove_tag(name, tag_name)

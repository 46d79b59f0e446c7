"""Decides what [[tags]] may say, and what an account may say of tags that are not there yet."""

import re
from collections.abc import Collection
from typing import Any

from ..model import TAGS_MAX, Tag
from .fields import Fields, Report, existing, matching, parse_account_name, parse_amount, parse_expires_s, parse_period
from .manual import TAGS

MOST = 1_000_000
parse_tag = matching(re.compile(r"[A-Za-z0-9._:-]{1,64}"), "must be 1 to 64 of A-Z a-z 0-9 . _ : -")


def read_tags(report: Report, tables: list[Any], accounts: Collection[str] | None) -> tuple[Tag, ...]:
    """The tags of a document; `accounts` are those that there are, None where they are not known."""
    first: dict[tuple[str, str], int] = {}
    tags = []
    for index, raw in enumerate(tables):
        fields = Fields(report, ("tags", index), raw, TAGS.names)
        if "budget_period" in fields.raw and "budget" not in fields.raw:
            report.refuse((*fields.path, "budget_period"), "needs a budget", fields.raw["budget_period"])
        account = parse_account_name if accounts is None else existing("account", accounts)
        tag = Tag(
            account=fields.require("account", account, ""),
            name=fields.require("name", parse_tag, ""),
            budget_nanos=fields.take("budget", parse_amount, 0),
            budget_period=fields.take("budget_period", parse_period, ""),
            expires_s=fields.take("expires", parse_expires_s, 0),
        )
        if first.setdefault((tag.account, tag.name), index) != index and tag.name:
            report.refuse((*fields.path, "name"), "is a tag of this account already", tag.name)
        tags.append(tag)
    return tuple(tags)


def parse_tags_max(value: object) -> int:
    """How many tags an account may have."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST:
        return value
    raise ValueError(f"must be an integer from 0 to {MOST}")


def given_to_tags(fields: Fields) -> dict[str, Any]:
    """What an account gives to a tag at its first use."""
    if "tag_budget_period" in fields.raw and "tag_budget" not in fields.raw:
        report = fields.report
        report.refuse((*fields.path, "tag_budget_period"), "needs a tag_budget", fields.raw["tag_budget_period"])
    return {
        "tag_budget_nanos": fields.take("tag_budget", parse_amount, 0),
        "tag_budget_period": fields.take("tag_budget_period", parse_period, ""),
        "tags_max": fields.take("tags_max", parse_tags_max, TAGS_MAX),
    }

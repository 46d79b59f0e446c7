"""Decides what names, amounts, rates and times the books accept, as the configuration file does."""

import re

from ..limits import limit_units
from ..model import Rate
from ..scopes import scope
from ..units import BURST_MAX, MONEY_MAX_NANOS, MONEY_MAX_UNITS
from .errors import Invalid
from .windows import PERIODS

ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@:+-]{0,62}")
TAG = re.compile(r"[A-Za-z0-9._:-]{1,64}")
LABEL = re.compile(r"[ !#-\[\]-~]{0,63}")
TEXT_MAX = 500  # characters of a reference, a note, an idempotency key
FAR_S = 1 << 39  # beyond it a time does not fit beside an account's plan in the segment


def check_account_name(name: str) -> None:
    if not ACCOUNT.fullmatch(name):
        raise Invalid("name must be 1 to 63 of A-Z a-z 0-9 _ . @ : + - and start with a letter or digit")


def check_label(name: str) -> None:
    if not LABEL.fullmatch(name):
        raise Invalid('name must be at most 63 printable ASCII characters without " and \\')


def check_models(models: tuple[str, ...]) -> str:
    """A set of models as the ledger has it, "" for all."""
    try:
        return " ".join(scope(models)) if models else ""
    except ValueError as error:
        raise Invalid(f"models {error}") from None


def check_tag(name: str) -> None:
    if not TAG.fullmatch(name):
        raise Invalid("a tag must be 1 to 64 of A-Z a-z 0-9 . _ : -")


def check_text(what: str, text: str) -> None:
    if len(text) > TEXT_MAX or not (text.isprintable() or not text):
        raise Invalid(f"{what} must be at most {TEXT_MAX} printable characters")


def check_amount(amount: int) -> None:
    """An amount of nanos that is added."""
    if amount < 1:
        raise Invalid("amount must be positive")
    if amount > MONEY_MAX_NANOS:
        raise Invalid(f"amount must be at most {MONEY_MAX_UNITS}")


def check_credit(credit: int) -> None:
    if not 0 <= credit <= MONEY_MAX_NANOS:
        raise Invalid(f"credit must be from 0 to {MONEY_MAX_UNITS}")


def check_means(granted: int, credit: int) -> None:
    """What may be spent at once, and all that was ever granted, is compared in one signed 64-bit word."""
    if granted + credit > MONEY_MAX_NANOS:
        raise Invalid(f"all that was granted and the credit line together must be at most {MONEY_MAX_UNITS}")


def check_expires(expires_s: int, now_s: int) -> None:
    """0 for never, or a time to come."""
    if expires_s and not now_s < expires_s < FAR_S:
        raise Invalid("expires must be in the future")


def check_budget(budget: int, period: str) -> None:
    if not 0 <= budget <= MONEY_MAX_NANOS:
        raise Invalid(f"budget must be from 0 to {MONEY_MAX_UNITS}")
    if period and period not in PERIODS:
        raise Invalid('budget_period must be "day", "month" or nothing')
    if period and not budget:
        raise Invalid("budget_period needs a budget")


def check_rate(rate: Rate | None) -> None:
    if rate is None:
        return
    if rate.burst > BURST_MAX:
        raise Invalid(f"burst must be at most {BURST_MAX}")
    try:
        limit_units(rate.count, rate.period_ns, rate.burst)
    except ValueError as error:
        raise Invalid(f"rate: {error}") from None

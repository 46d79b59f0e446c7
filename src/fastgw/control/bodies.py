"""Decides what requests to the admin API may say: one closed structure each, every string and number bounded."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from .. import scopes
from . import written
from .written import Amount, Burst, Moment, PositiveAmount, RateText, SignedAmount, whole

GRACE_MAX_S = 30 * 86_400
IDEMPOTENCY_KEY = whole(r'(?:[!#-\[\]-~]{1,255}|"[!#-\[\]-~]{1,255}")')
ACCOUNT = whole("[A-Za-z0-9][A-Za-z0-9_.@:+-]{0,62}")
KEY_ID = whole("key_[0-9a-f]{16}")
ROUTE = whole("[a-z0-9][a-z0-9_.-]{0,62}")
UPSTREAM = ROUTE
TAG = whole("[A-Za-z0-9._:-]{1,64}")
MODEL = whole(scopes.MODEL)
TARGET = whole("/?[!-~]{1,300}")
URL = whole("[!-~]{1,300}")

RULES = {
    ACCOUNT: "must be 1 to 63 of A-Z a-z 0-9 _ . @ : + - and start with a letter or digit",
    TAG: "must be 1 to 64 of A-Z a-z 0-9 . _ : -",
    KEY_ID: 'must be "key_" and 16 hex digits',
    MODEL: scopes.RULE,
    TARGET: "must be a target's name, like 10.0.0.1:9000",
    URL: 'must be a target, like "http://10.0.0.1:9000"',
    ROUTE: "must be 1 to 63 of a-z 0-9 _ . - and start with a letter or digit",
    IDEMPOTENCY_KEY: "must be 1 to 255 visible ASCII characters",
    written.AMOUNT: written.AMOUNT_RULE,
    written.POSITIVE: f"{written.AMOUNT_RULE}, more than 0",
    written.SIGNED: f"{written.AMOUNT_RULE}, not 0",
    written.RATE: 'must be a whole number of requests per s, m, h or d, written like "100/s"',
}

AccountName = Annotated[str, Meta(pattern=ACCOUNT, description="Who pays", examples=["acme"])]
KeyId = Annotated[str, Meta(pattern=KEY_ID, examples=["key_0123456789abcdef"])]
PlanName = Annotated[str, Meta(pattern=whole("([a-z0-9][a-z0-9_.-]{0,62})?"), description='A plan of the file, or ""')]
Label = Annotated[str, Meta(pattern=whole(r"[ !#-\[\]-~]{0,63}"), description="For people")]
Reference = Annotated[str, Meta(pattern=whole(r"[ -~]{0,128}"), description="For programs: an invoice, a payment")]
Note = Annotated[str, Meta(pattern=whole(r"[^\x00-\x1f\x7f]{0,256}"), description="For people")]
Why = Annotated[str, Meta(pattern=whole(r"[^\x00-\x1f\x7f]{1,256}"), description="Why, for people")]
Weight = Annotated[int, Meta(ge=0, le=1_000, description="Its share beside the others'; 0 for no new calls")]
TokenRate = Annotated[RateText, Meta(description="In tokens of models, as many at once", examples=["200000/m"])]
Scope = Annotated[
    list[Annotated[str, Meta(pattern=MODEL, examples=["gpt-5*"])]],
    Meta(min_length=1, max_length=scopes.MOST, description="Models that it may ask for: names, and patterns with *"),
]
Period = Literal["", "day", "month"]
CertificateName = Annotated[
    str,
    Meta(
        pattern=whole("[!-~]{1,2000}"), examples=["billing.example.com"],
        description='"sha256:" and its fingerprint in hexadecimal, or one of its alternative names',
    ),
]  # fmt: skip


class Body(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is not declared is refused."""


class NewAccount(Body, frozen=True):
    """An account of the API; its money comes by top-ups."""

    name: AccountName
    credit: Amount = "0"
    plan: PlanName = ""
    expires: Moment | None = None
    suspended: bool = False


class AccountChange(Body, frozen=True):
    """What is left out stays as it is; `expires: null` is never."""

    credit: Amount | UnsetType = UNSET
    plan: PlanName | UnsetType = UNSET
    expires: Moment | UnsetType | None = UNSET
    suspended: bool | UnsetType = UNSET


class TopUp(Body, frozen=True):
    """Money that comes in; with `expires` what is left of it then goes out again."""

    amount: PositiveAmount
    expires: Moment | None = None
    reference: Reference = ""
    note: Note = ""


class Adjustment(Body, frozen=True):
    """Money put right by hand, either way; never below what the account has."""

    amount: SignedAmount
    note: Why
    reference: Reference = ""


class NewKey(Body, frozen=True):
    """A key for an account, of the file or of the API. A `rate` is this key's own, a `budget` the most it may spend.

    With a `certificate` it is a client certificate, and has no secret.
    """

    account: AccountName
    name: Label = ""
    rate: RateText | None = None
    burst: Burst | None = None
    budget: PositiveAmount | None = None
    budget_period: Period = ""
    expires: Moment | None = None
    token_rate: TokenRate | None = None
    models: Scope | None = None
    certificate: CertificateName | None = None


class NewTag(Body, frozen=True):
    """A tag for an account, of the file or of the API. A `budget` is the most that calls with it may spend."""

    name: Annotated[str, Meta(pattern=TAG, examples=["run-17"])]
    budget: PositiveAmount | None = None
    budget_period: Period = ""
    expires: Moment | None = None


class KeyChange(Body, frozen=True):
    """What is left out stays as it is; null takes a limit, a budget or an end away. A burst comes with its rate."""

    name: Label | UnsetType = UNSET
    rate: RateText | UnsetType | None = UNSET
    burst: Burst | UnsetType | None = UNSET
    budget: PositiveAmount | UnsetType | None = UNSET
    budget_period: Period | UnsetType = UNSET
    expires: Moment | UnsetType | None = UNSET
    token_rate: TokenRate | UnsetType | None = UNSET
    models: Scope | UnsetType | None = UNSET


class Rotation(Body, frozen=True):
    """How long the old secret goes on working beside the new one."""

    grace_seconds: Annotated[int, Meta(ge=0, le=GRACE_MAX_S)] = 0


class NewTarget(Body, frozen=True):
    """A further target of an upstream. `expand`: each address of its name is a server of its own."""

    url: Annotated[str, Meta(pattern=URL, examples=["http://10.0.0.1:9000"])]
    weight: Weight = 1
    expand: bool = False


class TargetChange(Body, frozen=True):
    """What is left out stays as it is."""

    weight: Weight | UnsetType = UNSET
    drained: bool | UnsetType = UNSET


class QuoteRequest(Body, frozen=True):
    """Whose call, by the key itself or its id, and which: by the route's name, or by method, host and path."""

    key: Annotated[str, Meta(pattern=whole(r"[!#-&(-+\--~]{8,256}"))] | None = None
    key_id: KeyId | None = None
    route: Annotated[str, Meta(pattern=ROUTE)] | None = None
    method: Annotated[str, Meta(pattern=whole("[A-Z][A-Z0-9_-]{0,31}"))] = "POST"
    host: Annotated[str, Meta(pattern=whole(r"[A-Za-z0-9_.:\[\]-]{1,255}"))] = "localhost"
    path: Annotated[str, Meta(pattern=whole(r"/[!-\"$-~]{0,2047}"), description="With its query, if any")] | None = None

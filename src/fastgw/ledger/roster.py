"""Decides which record of the segment is which account or meter of the ledger."""

from array import array
from enum import IntEnum

from .._segment import Segment
from ..room import Room
from .texts import Texts


class Kind(IntEnum):
    """What an account record of the segment counts."""

    UNKNOWN = 0
    ACCOUNT = 1
    DAY = 2
    MONTH = 3
    BUDGET = 4
    DAY_TOKENS = 5
    MONTH_TOKENS = 6
    TAG = 7


NAMES = {kind: kind.name.lower() for kind in Kind if kind > Kind.ACCOUNT}  # of meters


class Roster:
    """By index in the segment: the kind and the owner; by account of the ledger: the index.

    The owner is the account's number in the ledger, or of a budget the number of its key or tag.
    """

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.room: Room | None = None
        self.kinds = bytearray()
        self.owners = array("q")
        self.names = Texts()  # of accounts
        self.indexes = array("i")  # index + 1 by account, 0: not in the segment
        self.strays: dict[bytes, int] = {}  # records by digest that nobody has claimed

    def adopt(self) -> None:
        """Learn which records there are. Nobody has claimed one yet."""
        self.strays = self.segment.account_numbers()

    def claim(self, digest: bytes) -> int:
        """The index of the record of that digest, made if need be with nothing in it. Raises SegmentError: no room."""
        index = self.strays.pop(digest, None)
        if index is None:
            if self.room is not None:
                self.room.need(accounts=self.segment.account_count + 1)
            index = self.segment.add_account(digest, 0, 0)
        return index

    def release(self, digest: bytes, index: int) -> None:
        """It was not needed after all; the record stays for the next who claims it."""
        self.expel(index)
        self.strays[digest] = index

    def expel(self, index: int) -> None:
        """The record is nobody's, though claimed."""
        if self.kind(index) == Kind.ACCOUNT:
            self.indexes[self.owners[index]] = 0
        if index < len(self.kinds):
            self.kinds[index] = Kind.UNKNOWN

    def enroll(self, index: int, kind: Kind, owner: int) -> None:
        """The record counts this for that owner from now on."""
        missing = index + 1 - len(self.kinds)
        if missing > 0:
            self.kinds.extend(bytes(missing))
            self.owners.extend([0] * missing)
        self.kinds[index] = kind
        self.owners[index] = owner
        if kind == Kind.ACCOUNT:
            missing = owner + 1 - len(self.indexes)
            if missing > 0:
                self.indexes.extend([0] * missing)
            self.indexes[owner] = index + 1

    def kind(self, index: int) -> int:
        return self.kinds[index] if index < len(self.kinds) else Kind.UNKNOWN

    def index(self, account: int) -> int:
        """Of an account of the ledger, or -1."""
        return self.indexes[account] - 1 if account < len(self.indexes) else -1

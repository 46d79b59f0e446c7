"""Decides what can be wrong with a request to the books: one exception for each kind of answer."""


class LedgerError(Exception):
    """The request was not carried out; the message says why, in a sentence for whoever made it."""


class NotFound(LedgerError):
    """There is no such account or key."""


class Conflict(LedgerError):
    """It is there already, or in a state that does not allow this."""


class ReadOnly(LedgerError):
    """It is declared in the configuration file, which alone may change it."""


class Invalid(LedgerError):
    """A value is out of bounds or contradicts another."""


class Insufficient(LedgerError):
    """More was to be taken than is there; `available` is what could be, in nanos."""

    def __init__(self, message: str, available: int) -> None:
        super().__init__(message)
        self.available = available


class IdempotencyMismatch(LedgerError):
    """The idempotency key was used before, for another request."""


class LedgerUnavailable(LedgerError):
    """The ledger cannot write now. Whether this request was carried out is not known: repeat it with its own
    idempotency key."""


class LoadError(LedgerError):
    """What the file declares contradicts itself or the ledger; the message names the account, or the number of the key,
    never a key."""

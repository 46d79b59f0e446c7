"""The numbers by which words of the segment are read in Python; `kernels/layout.pxd` has the same for compiled code."""

from enum import IntEnum


class WorkerState(IntEnum):
    """How far the worker of a slot is."""

    ABSENT = 0
    STARTING = 1
    READY = 2
    DRAINING = 3


class KeyStatus(IntEnum):
    """Whether a key may be used."""

    ACTIVE = 1
    REVOKED = 2


class AccountStatus(IntEnum):
    """Whether an account may spend."""

    ACTIVE = 1
    SUSPENDED = 2
    CLOSED = 3


class CredentialState(IntEnum):
    """Whether a key of a provider is left in peace, and why."""

    OK = 0
    RESTING = 1
    REFUSED = 2
    UNPAID = 3


ANSWER_CLASS = 56  # the counter of 1xx answers of upstreams is this + 1, and so on to 5xx

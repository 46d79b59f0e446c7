"""Why what was asked about targets cannot be done, each with a sentence for people."""


class TargetsError(Exception):
    """What all of these are."""


class NotFound(TargetsError):
    """There is no such upstream or target."""


class Conflict(TargetsError):
    """There is such a target already."""


class Declared(TargetsError):
    """The target is declared in a file, and changed there."""


class Invalid(TargetsError):
    """A value that cannot be taken."""


class Unavailable(TargetsError):
    """It cannot be kept on the disk now; nothing has changed."""

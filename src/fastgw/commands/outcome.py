"""Decides how a command ends that does not succeed: the exit code and the sentence on stderr."""

import click

OK, REFUSED, USAGE, UNREACHABLE = 0, 1, 2, 3
EXIT_CODES = """\b
Exit codes: 0 done, 1 refused or failed, 2 wrong command line or configuration, 3 no gateway reached.
"""


class Refused(click.ClickException):
    """The gateway said no, or could not."""

    exit_code = REFUSED


class Unreachable(click.ClickException):
    """There was no gateway to ask."""

    exit_code = UNREACHABLE

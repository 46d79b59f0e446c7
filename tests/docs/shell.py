"""Reads the shell lines of the manual: the calls of `fastgw` in them, whatever stands around."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
from pages import PAGES, Block, blocks

SHELL = [block for page in PAGES for block in blocks(page) if block.language == "sh"]
_ASSIGNMENT = re.compile(r"([A-Z][A-Z0-9_]*)=(.*)")
_ENDS = re.compile(r"[;&|()]+")


class Call(NamedTuple):
    """One call of the command: its arguments, and what the line puts into its environment."""

    block: Block
    line: str
    environment: dict[str, str]
    arguments: list[str]

    @property
    def name(self) -> str:
        return f"{self.block.name} {self.line[:60]}"


def calls(block: Block) -> Iterator[Call]:
    for line in joined(block):
        for words in _commands(line):
            environment = {}
            while words and (match := _ASSIGNMENT.fullmatch(words[0])):
                environment[match[1]] = match[2]
                words = words[1:]
            if words and Path(words[0]).name == "fastgw":
                yield Call(block, line, environment, words[1:])


def joined(block: Block) -> Iterator[str]:
    """The lines, those that end with a backslash together with the next."""
    whole = ""
    for line in block.lines:
        whole += line.removesuffix("\\")
        if not line.endswith("\\"):
            yield whole
            whole = ""


def _commands(line: str) -> Iterator[list[str]]:
    """The words of each command of a line, without redirections."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    skip = False
    for word in lexer:
        if _ENDS.fullmatch(word):
            yield words
            words = []
        elif set(word) <= set("<>"):
            skip = True
        elif skip:
            skip = False
        else:
            words.append(word)
    yield words


CALLS = [call for block in SHELL for call in calls(block)]


def parsed(group: click.Command, arguments: list[str]) -> click.Context:
    """The context of the command that is called. Raises `click.ClickException` where it cannot be called so."""
    context = click.Context(group, info_name="fastgw")
    command = group
    while isinstance(command, click.Group):
        name, found, arguments = command.resolve_command(context, arguments)
        assert found is not None
        command = found
        if not isinstance(command, click.Group):
            return command.make_context(name, list(arguments), parent=context)
        context = click.Context(command, info_name=name, parent=context)
    raise AssertionError("a group is never called alone")

"""Decides what is a variable in the messages of a prompt, and puts values in their places.

Who reads a configuration needs this of prompts and no more, and no compiled code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

VARIABLE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")


def variables(node: Any) -> Iterator[str]:
    """The names of the variables in the strings of messages, as often as they are there."""
    match node:
        case str():
            yield from VARIABLE.findall(node)
        case list():
            for each in node:
                yield from variables(each)
        case dict():
            for each in node.values():
                yield from variables(each)


def filled(node: Any, texts: Mapping[str, str]) -> Any:
    """The same with values in place of the variables; what a value says is not looked at again."""
    match node:
        case str():
            return VARIABLE.sub(lambda match: texts.get(match[1], ""), node) if "{{" in node else node
        case list():
            return [filled(each, texts) for each in node]
        case dict():
            return {name: filled(each, texts) for name, each in node.items()}
    return node

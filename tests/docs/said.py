"""Reads out of the sources what a gateway can say on stderr: the words of each line, without what differs."""

import ast
from collections.abc import Iterator
from pathlib import Path

import fastgw

PACKAGE = Path(fastgw.__file__).parent
# What people who type a command are told is not in the log of a gateway.
ELSEWHERE = ("commands", "config", "cli.py", "demo.py")
REASONS = {"Occupied", "StartError", "SegmentError", "SecretError"}  # not to start, each a line of its own
LEAST = 12  # characters of a piece that is worth looking for


def sources() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE).parts[0] not in ELSEWHERE]


def _is_said(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    if name == "print":
        return any(ast.unparse(keyword) == "file=sys.stderr" for keyword in call.keywords)
    return name == "say" or name in REASONS


def _pieces(node: ast.expr) -> Iterator[str]:
    """The literal text of an expression, in pieces."""
    match node:
        case ast.Constant(value=str() as text):
            yield text
        case ast.JoinedStr(values=values):
            for value in values:
                yield from _pieces(value)
        case ast.BinOp(left=left, right=right):
            yield from _pieces(left)
            yield from _pieces(right)
        case ast.IfExp(body=body, orelse=orelse):
            yield from _pieces(body)
            yield from _pieces(orelse)


def lines() -> Iterator[tuple[str, str]]:
    """("file:line", the longest piece of literal text) of everything that is said, where there is one."""
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and _is_said(node) and node.args:
                longest = max(_pieces(node.args[0]), key=len, default="").strip()
                if len(longest) >= LEAST:
                    yield f"{path.relative_to(PACKAGE)}:{node.lineno}", longest

"""Decides how messages become the turns of two sides, for dialects where user and model take turns and what the
system says stands before."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from .canonical import (
    ASSISTANT,
    SYSTEM,
    TOOL,
    USER,
    Media,
    Message,
    Part,
    Request,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)

Spoken = TypeVar("Spoken", Part, Text | Media)

GREETING = "Hello."
SAY_JSON = "Answer with one JSON object and nothing else: no fence, no word before or after it."
SAY_SCHEMA = SAY_JSON + " It fits this JSON Schema: "


@dataclass
class Turns:
    system: list[Text]
    turns: list[Message]  # of USER and ASSISTANT in turn, USER first; no text is blank, which providers refuse


def of(request: Request, *, say_form: bool = False) -> Turns:
    """The turns of a request; with `say_form` the system asks in words for the form that the answer is to have."""
    system: list[Text] = []
    turns: list[Message] = []
    for message in request.messages:
        parts = said(message.parts)
        if message.role == SYSTEM:
            system += (part for part in parts if isinstance(part, Text))
        elif parts:
            _join(turns, USER if message.role == TOOL else message.role, parts)
    if not turns and system:  # a prompt of instructions alone is said by the user
        turns, system = [Message(USER, list(system))], []
    if turns and turns[0].role != USER:  # an assistant that greets first
        turns.insert(0, Message(USER, [Text(GREETING)]))
    if say_form:
        system += _form(request)
    return Turns(system, turns)


def result(tool: ToolResult) -> list[Text | Media]:
    """What a tool has said: of one that failed something, as providers want it."""
    return said(tool.parts) or ([Text("The tool failed.")] if tool.failed else [])


def said(parts: Sequence[Spoken]) -> list[Spoken]:
    """The parts without blank texts."""
    return [part for part in parts if not isinstance(part, Text) or part.text.strip()]


def names(request: Request) -> dict[str, str]:
    """The names of the tools called, in turn, by the id of the call: a tool's result may say the id alone."""
    parts = (part for message in request.messages for part in message.parts)
    return {part.id: part.name for part in parts if isinstance(part, ToolCall)}


def plain_id(text: str) -> str:
    """A tool call's id in the letters that Anthropic and AWS take; providers of open models have others too."""
    return re.sub(r"[^a-zA-Z0-9_-]", "_", text)


def last_is_signed(request: Request) -> bool:
    """Whether a thought with a proof stands before the tool calls that are being answered, or none are."""
    if not request.messages or request.messages[-1].role != TOOL:
        return True
    last = next((message for message in reversed(request.messages) if message.role == ASSISTANT), None)
    return last is None or any(isinstance(part, Thinking) and (part.signature or part.redacted) for part in last.parts)


def _join(turns: list[Message], role: str, parts: list[Part]) -> None:
    if turns and turns[-1].role == role:
        turns[-1].parts += parts
    else:
        turns.append(Message(role, parts))


def _form(request: Request) -> list[Text]:
    if request.schema is not None:
        return [Text(SAY_SCHEMA + msgspec.json.encode(request.schema.schema).decode())]
    return [Text(SAY_JSON)] if request.json else []

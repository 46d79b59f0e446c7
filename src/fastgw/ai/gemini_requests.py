"""Decides how a request is said to Gemini.

https://ai.google.dev/api/generate-content; also what Vertex AI takes. Penalties and whether tools may be called in
parallel are left out: current models refuse the one, and know nothing of the other. So are the ids of calls, which
Vertex AI refuses: a result belongs to a call by its name and place.
"""

from __future__ import annotations

import mimetypes
import re
from typing import Any

import msgspec

from . import bodies, schemas, turns
from .bodies import given, resource
from .canonical import ASSISTANT, Media, Part, Refused, Request, Text, Tool, ToolCall, ToolResult

_VERSION = re.compile(r"gemini-(\d+)(?:\.(\d+))?")
_MODES = {"auto": "AUTO", "none": "NONE", "any": "ANY", "tool": "ANY"}
_BUDGETS = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576, "max": 24576}
_LEVELS = {"none": "LOW", "minimal": "LOW", "low": "LOW", "medium": "MEDIUM"}  # HIGH where it is more
# Of a call that a Gemini of the third generation has not made, or whose signature the caller lost, but that stands
# in the history. https://ai.google.dev/gemini-api/docs/thought-signatures#faqs
_NO_SIGNATURE = "skip_thought_signature_validator"
_MEDIA_TYPES = {"image": "image/jpeg", "document": "application/pdf", "audio": "audio/mpeg"}


def version(model: str) -> tuple[int, int]:
    """(2, 5) of "gemini-2.5-flash"; an alias without a number is of the newest, another family of none."""
    if "gemini" not in model:
        return (0, 0)
    match = _VERSION.search(model)
    return (int(match[1]), int(match[2] or 0)) if match else (99, 0)


def path(request: Request, model: str) -> str:
    call = "streamGenerateContent?alt=sse" if request.stream else "generateContent"
    return f"/{resource(model)}:{call}"


def count_path(model: str) -> str:
    return f"/{resource(model)}:countTokens"


def write_request(request: Request, model: str) -> bytes:
    """The body for a provider. UnsupportedError."""
    return msgspec.json.encode(_fields(request, model))


def write_count(request: Request, model: str) -> bytes:
    """The body that asks how many tokens the input is."""
    fields = _fields(request, model)
    del fields["generationConfig"]
    return msgspec.json.encode({"generateContentRequest": {"model": resource(model), **fields}})


def _fields(request: Request, model: str) -> dict[str, Any]:
    form = _form(request, model)
    said = turns.of(request, say_form=not form)
    names = turns.names(request)
    contents = []
    order = {id: place for place, id in enumerate(names)}
    for turn in said.turns:
        turn.parts.sort(key=lambda part: order.get(part.id, len(order)) if isinstance(part, ToolResult) else len(order))
        signed = turn.role == ASSISTANT and version(model) >= (3, 0)
        parts = [block for part in turn.parts for block in _parts(part, names)]
        contents.append(
            {"role": "model" if turn.role == ASSISTANT else "user", "parts": _signed(parts) if signed else parts}
        )
    declarations = [_declaration(tool) for tool in request.tools]
    return {
        "contents": contents,
        **given(
            systemInstruction=given(parts=[{"text": text.text} for text in said.system]),
            tools=[{"functionDeclarations": declarations}] if declarations else None,
            toolConfig=_choice(request),
        ),
        "generationConfig": {
            **given(
                maxOutputTokens=request.max_tokens,
                temperature=request.temperature,
                topP=request.top_p,
                topK=request.top_k,
                stopSequences=request.stop,
                seed=request.seed,
                thinkingConfig=_thinking(request, model),
            ),
            **form,
        },
    }


def _form(request: Request, model: str) -> dict[str, Any]:
    """The form of the answer, where the model can be held to it: before the third generation not beside tools."""
    if request.tools and version(model) < (3, 0):
        return {}
    if request.schema is not None:
        schema = schemas.for_gemini(request.schema.schema)
        return {"responseMimeType": "application/json", "responseJsonSchema": schema} if schema else {}
    return {"responseMimeType": "application/json"} if request.json else {}


def _thinking(request: Request, model: str) -> dict[str, Any]:
    """How the model is to think: a level from the third generation on, which cannot be none; before that a budget."""
    effort, tokens = request.effort, request.thinking_tokens
    if (not effort and tokens is None) or version(model) < (2, 5):
        return {}
    quiet = effort == "none" or tokens == 0
    shown = {} if quiet else {"includeThoughts": True}
    if version(model) >= (3, 0):
        return {"thinkingLevel": _level(effort, tokens, model), **shown}
    budget = tokens if tokens is not None else _BUDGETS.get(effort, 0)
    return {"thinkingBudget": max(budget, 128) if "pro" in model else budget, **shown}


def _level(effort: str, tokens: int | None, model: str) -> str:
    if not effort and tokens is not None:
        effort = next((name for name in ("low", "medium") if tokens <= _BUDGETS[name]), "high")
    level = _LEVELS.get(effort, "HIGH")
    return "HIGH" if level == "MEDIUM" and "gemini-3-pro" in model else level  # which has two


def _signed(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The parts of a turn of the model, whose first call has to have a signature."""
    first = next((part for part in parts if "functionCall" in part), None)
    if first is not None:
        first.setdefault("thoughtSignature", _NO_SIGNATURE)
    return parts


def _parts(part: Part, names: dict[str, str]) -> list[dict[str, Any]]:
    """A part of a message; thoughts are not told again."""
    match part:
        case Text() | Refused():
            return [{"text": part.text}]
        case Media():
            return [_media(part)]
        case ToolCall():
            call = {"name": part.name, "args": bodies.json_object(part.arguments)}
            return [{"functionCall": call, **given(thoughtSignature=part.signature)}]
        case ToolResult():
            name = part.name or names.get(part.id, "") or part.id
            said = "\n".join(text.text for text in turns.result(part) if isinstance(text, Text))
            answer = {"error" if part.failed else "output": bodies.json_or_text(said)}
            media = [_media(media) for media in part.parts if isinstance(media, Media)]
            return [{"functionResponse": {"name": name, "response": answer}}, *media]
        case _:
            return []


def _media(media: Media) -> dict[str, Any]:
    uri = media.url or media.file_id
    kind = media.media_type or mimetypes.guess_type(uri.partition("?")[0])[0] or _MEDIA_TYPES[media.kind]
    if uri:
        return {"fileData": {"mimeType": kind, "fileUri": uri}}
    return {"inlineData": {"mimeType": kind, "data": media.data}}


def _declaration(tool: Tool) -> dict[str, Any]:
    """A tool; what Gemini does not know of JSON Schema is said in the descriptions."""
    schema = schemas.for_gemini(tool.schema)
    return {"name": tool.name, **given(description=tool.description, parametersJsonSchema=schema)}


def _choice(request: Request) -> dict[str, Any]:
    if not request.tools or not request.tool_choice:
        return {}
    only = [request.tool_name] if request.tool_choice == "tool" else []
    return {"functionCallingConfig": {"mode": _MODES[request.tool_choice], **given(allowedFunctionNames=only)}}

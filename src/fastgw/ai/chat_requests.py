"""Decides what a request for a chat completion means, and how a request is said as one.

https://platform.openai.com/docs/api-reference/chat/create, with the members that other providers have added for
thoughts, their proofs and caching.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

import msgspec
from msgspec import Struct

from . import bodies, canonical, media
from .bodies import given
from .canonical import (
    ASSISTANT,
    SYSTEM,
    TOOL,
    USER,
    Media,
    Message,
    Part,
    Refused,
    Request,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    UnsupportedError,
)

# Callers


class _Cache(Struct):
    type: Literal["ephemeral"] = "ephemeral"
    ttl: Literal["5m", "1h"] = "5m"


class _Text(Struct, tag="text"):
    text: str
    cache_control: _Cache | None = None

    def part(self) -> Text:
        return Text(self.text, cache=self.cache_control.ttl if self.cache_control else "")


class _Refusal(Struct, tag="refusal"):
    refusal: str

    def part(self) -> Refused:
        return Refused(self.refusal)


class _Url(Struct):
    url: str
    detail: str | None = None


class _Image(Struct, tag="image_url"):
    image_url: _Url | str
    cache_control: _Cache | None = None

    def part(self) -> Media:
        image = _Url(self.image_url) if isinstance(self.image_url, str) else self.image_url
        found = media.from_url("image", image.url, "messages")
        found.detail = image.detail or ""
        found.cache = self.cache_control.ttl if self.cache_control else ""
        return found


class _Sound(Struct):
    data: str
    format: str = "wav"


class _Audio(Struct, tag="input_audio"):
    input_audio: _Sound

    def part(self) -> Media:
        return Media("audio", media_type=f"audio/{self.input_audio.format}", data=self.input_audio.data)


class _FileData(Struct):
    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class _File(Struct, tag="file"):
    file: _FileData

    def part(self) -> Media:
        if self.file.file_data:
            return media.from_data("document", self.file.file_data, self.file.filename or "")
        return Media("document", file_id=self.file.file_id or "", name=self.file.filename or "")


class _Google(Struct):
    thought_signature: str | None = None


class _Extra(Struct):
    google: _Google | None = None


class _Function(Struct):
    name: str
    arguments: str = ""


class _Call(Struct):
    id: str
    function: _Function
    type: Literal["function"] = "function"
    extra_content: _Extra | None = None

    def part(self) -> ToolCall:
        google = self.extra_content.google if self.extra_content else None
        signature = (google and google.thought_signature) or ""
        return ToolCall(self.id, self.function.name, self.function.arguments, signature)


class _Detail(Struct):
    """A thought with its proof, in the form that OpenRouter has begun with."""

    type: str
    text: str | None = None
    signature: str | None = None
    data: str | None = None

    def part(self) -> Thinking | None:
        if self.type == "reasoning.encrypted" and self.data:
            return Thinking(self.data, redacted=True)
        return Thinking(self.text or "", self.signature or "") if self.type == "reasoning.text" else None


class _System(Struct, tag_field="role", tag="system"):
    content: str | list[_Text]
    name: str | None = None

    def messages(self, _names: dict[str, str]) -> Iterator[Message]:
        yield Message(SYSTEM, _parts(self.content), self.name or "")


class _Developer(_System, tag="developer"):
    pass


class _User(Struct, tag_field="role", tag="user"):
    content: str | list[_Text | _Image | _Audio | _File]
    name: str | None = None

    def messages(self, _names: dict[str, str]) -> Iterator[Message]:
        yield Message(USER, _parts(self.content), self.name or "")


class _Assistant(Struct, tag_field="role", tag="assistant"):
    content: str | list[_Text | _Refusal] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[_Detail] | None = None
    tool_calls: list[_Call] | None = None
    audio: Any = None
    function_call: Any = None
    name: str | None = None

    def messages(self, names: dict[str, str]) -> Iterator[Message]:
        if self.audio is not None or self.function_call is not None:
            said = "audio" if self.audio is not None else "function_call"
            raise UnsupportedError(f"A message with {said} is for OpenAI's own models alone.", "messages")
        names |= {call.id: call.function.name for call in self.tool_calls or ()}
        parts = [*self._thoughts(), *_parts(self.content or "")]
        if self.refusal:
            parts.append(Refused(self.refusal))
        parts += (call.part() for call in self.tool_calls or ())
        yield Message(ASSISTANT, parts, self.name or "")

    def _thoughts(self) -> list[Part]:
        thoughts: list[Part] = [part for detail in self.reasoning_details or () if (part := detail.part())]
        text = self.reasoning_content or self.reasoning
        return thoughts or ([Thinking(text)] if text else [])


class _Tool(Struct, tag_field="role", tag="tool"):
    content: str | list[_Text | _Image]
    tool_call_id: str

    def messages(self, names: dict[str, str]) -> Iterator[Message]:
        result = ToolResult(self.tool_call_id, names.get(self.tool_call_id, ""), _parts(self.content))
        yield Message(TOOL, [result])


class _Declared(Struct):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _Declaration(Struct):
    function: _Declared
    type: Literal["function"] = "function"

    def tool(self) -> canonical.Tool:
        said = self.function
        return canonical.Tool(said.name, said.description or "", said.parameters or {}, bool(said.strict))


class _Named(Struct):
    name: str


class _Choice(Struct):
    function: _Named
    type: Literal["function"] = "function"


class _Form(Struct):
    name: str = "answer"
    schema: dict[str, Any] = {}
    strict: bool | None = None
    description: str | None = None


class _Format(Struct):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: _Form | None = None


class _StreamOptions(Struct):
    include_usage: bool | None = None


class _Reasoning(Struct):
    """How OpenRouter is told to think."""

    effort: str | None = None
    max_tokens: int | None = None
    enabled: bool | None = None


class _Asked(Struct):
    model: str
    messages: list[_System | _Developer | _User | _Assistant | _Tool]
    tools: list[_Declaration] | None = None
    tool_choice: Literal["none", "auto", "required"] | _Choice | None = None
    parallel_tool_calls: bool | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    response_format: _Format | None = None
    reasoning_effort: str | None = None
    reasoning: _Reasoning | None = None
    user: str | None = None
    safety_identifier: str | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: int | None = None
    # What cannot be asked of a provider of another dialect, and means too much to be left out.
    logprobs: bool | None = None
    logit_bias: dict[str, Any] | None = None
    modalities: list[str] | None = None
    web_search_options: Any = None
    functions: Any = None
    function_call: Any = None


_ASKED = msgspec.json.Decoder(_Asked)
_CHOSEN = {"required": "any"}


def read_request(body: bytes) -> Request:
    """A caller's request. BodyError."""
    asked = bodies.read(_ASKED, body)
    _refuse(asked)
    names: dict[str, str] = {}
    messages = [message for said in asked.messages for message in said.messages(names)]
    request = Request(asked.model, messages, [tool.tool() for tool in asked.tools or ()])
    if isinstance(asked.tool_choice, _Choice):
        request.tool_choice, request.tool_name = "tool", asked.tool_choice.function.name
    else:
        request.tool_choice = _CHOSEN.get(asked.tool_choice or "", asked.tool_choice or "")
    request.parallel = asked.parallel_tool_calls
    caps = [cap for cap in (asked.max_completion_tokens, asked.max_tokens) if cap is not None]
    request.max_tokens = min(caps, default=None)
    request.temperature, request.top_p, request.top_k = asked.temperature, asked.top_p, asked.top_k
    request.stop = [asked.stop] if isinstance(asked.stop, str) else asked.stop or []
    request.seed, request.presence, request.frequency = asked.seed, asked.presence_penalty, asked.frequency_penalty
    _read_form(asked.response_format, request)
    reasoning = asked.reasoning or _Reasoning()
    request.effort = asked.reasoning_effort or reasoning.effort or ""
    request.thinking_tokens = 0 if reasoning.enabled is False else reasoning.max_tokens
    request.user = asked.user or asked.safety_identifier or ""
    request.stream = bool(asked.stream)
    request.wants_usage = bool(asked.stream_options and asked.stream_options.include_usage)
    return request


def _refuse(asked: _Asked) -> None:
    said = {
        "n": asked.n not in (None, 1),
        "logprobs": asked.logprobs,
        "logit_bias": asked.logit_bias,
        "modalities": asked.modalities not in (None, ["text"]),
        "web_search_options": asked.web_search_options is not None,
        "functions": asked.functions or asked.function_call,
    }
    for name in (name for name, is_said in said.items() if is_said):
        raise UnsupportedError(f"The provider of this model has nothing like {name}; leave it out.", name)


def _read_form(form: _Format | None, request: Request) -> None:
    if form is not None and form.type == "json_schema":
        said = form.json_schema or _Form()
        strict = said.strict is not False
        request.schema = canonical.Schema(said.name, said.schema, strict, said.description or "")
    request.json = form is not None and form.type == "json_object"


def _parts(content: str | list[Any]) -> list[Any]:
    if isinstance(content, str):
        return [Text(content)] if content else []
    return [part.part() for part in content]


# Providers

# Models of OpenAI's that think refuse the parameters of sampling; of the others, only some take an effort.
_OPENAI_THINKS = re.compile(r"(?:^|[/.])(?:o[1-9]|gpt-(?:[5-9]|\d\d)(?!.*-chat)|codex)")
_TAKES_EFFORT = re.compile(r"gpt-oss|grok-3-mini|grok-4\.|gemini")
_EFFORTS = ((2_048, "low"), (16_384, "medium"))  # up to so many tokens of thought
_FORCED = {"any": "required"}


def write_request(
    request: Request, model: str, *, max_tokens_field: str = "max_completion_tokens", stream_usage: bool = True
) -> bytes:
    """The body for a provider. UnsupportedError."""
    thinks = bool(_OPENAI_THINKS.search(model))
    sampling = given(
        temperature=request.temperature,
        top_p=request.top_p,
        presence_penalty=request.presence,
        frequency_penalty=request.frequency,
    )
    fields = {
        "model": model,
        "messages": list(_messages(request)),
        max_tokens_field: request.max_tokens,
        **({} if thinks else sampling),
        **given(stop=request.stop, seed=request.seed, user=request.user, response_format=_form(request)),
        **_tools(request),
    }
    if thinks or _TAKES_EFFORT.search(model):
        fields |= given(reasoning_effort=_effort(request))
    if request.stream:
        fields |= {"stream": True, **({"stream_options": {"include_usage": True}} if stream_usage else {})}
    return msgspec.json.encode({name: value for name, value in fields.items() if value is not None})


def _effort(request: Request) -> str:
    if request.effort or not request.thinking_tokens:
        return request.effort
    return next((effort for tokens, effort in _EFFORTS if request.thinking_tokens <= tokens), "high")


def _form(request: Request) -> dict[str, Any]:
    if request.schema is None:
        return {"type": "json_object"} if request.json else {}
    said = request.schema
    form = {"name": said.name, "schema": said.schema, "strict": said.strict, **given(description=said.description)}
    return {"type": "json_schema", "json_schema": form}


def _tools(request: Request) -> dict[str, Any]:
    if not request.tools:
        return {}
    choice: Any = _FORCED.get(request.tool_choice, request.tool_choice)
    if choice == "tool":
        choice = {"type": "function", "function": {"name": request.tool_name}}
    return given(
        tools=[{"type": "function", "function": _declared(tool)} for tool in request.tools],
        tool_choice=choice,
        parallel_tool_calls=request.parallel,
    )


def _declared(tool: canonical.Tool) -> dict[str, Any]:
    parameters = tool.schema or {"type": "object", "properties": {}}
    return {
        "name": tool.name,
        **given(description=tool.description, strict=tool.strict or None),
        "parameters": parameters,
    }


def _messages(request: Request) -> Iterator[dict[str, Any]]:
    """The messages; what tools have shown that is no text follows their results, as the user's."""
    shown: list[Media] = []
    for message in request.messages:
        if message.role == TOOL:
            for result in (part for part in message.parts if isinstance(part, ToolResult)):
                yield {"role": "tool", "tool_call_id": result.id, "content": _result(result)}
                shown += (part for part in result.parts if isinstance(part, Media) and media.text_of(part) is None)
            continue
        if shown:
            yield {"role": "user", "content": [_content(part) for part in shown]}
            shown = []
        yield {**_message(message), **given(name=message.name)}
    if shown:
        yield {"role": "user", "content": [_content(part) for part in shown]}


def _result(result: ToolResult) -> str:
    texts = (part.text if isinstance(part, Text) else media.text_of(part) for part in result.parts)
    said = "\n".join(text for text in texts if text)
    return said or ("The tool failed." if result.failed else "" if not result.parts else "See below.")


def _message(message: Message) -> dict[str, Any]:
    if message.role == ASSISTANT:
        return _assistant(message.parts)
    parts = message.parts
    if all(isinstance(part, Text) for part in parts) and (len(parts) == 1 or message.role == SYSTEM):
        return {"role": message.role, "content": "\n\n".join(part.text for part in parts if isinstance(part, Text))}
    return {"role": message.role, "content": [_content(part) for part in parts]}


def _assistant(parts: list[Part]) -> dict[str, Any]:
    """Thoughts without a proof go back to those who tell them, and want them; others are for who can prove them."""
    text = "".join(part.text for part in parts if isinstance(part, Text))
    thoughts = (part for part in parts if isinstance(part, Thinking))
    thought = "".join(part.text for part in thoughts if not part.signature and not part.redacted)
    refusal = "".join(part.text for part in parts if isinstance(part, Refused))
    calls = [shown_call(part) for part in parts if isinstance(part, ToolCall)]
    said = given(reasoning_content=thought, refusal=refusal, tool_calls=calls)
    return {"role": "assistant", "content": text or (None if calls or refusal else ""), **said}


def shown_call(call: ToolCall) -> dict[str, Any]:
    """A tool call, and the proof of the thought behind it where Google's clients keep it."""
    shown: dict[str, Any] = {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }
    return shown | proof(call.signature)


def proof(signature: str) -> dict[str, Any]:
    return {"extra_content": {"google": {"thought_signature": signature}}} if signature else {}


def _content(part: Part) -> dict[str, Any]:
    match part:
        case Text() | Refused() | Thinking():
            return {"type": "text", "text": part.text}
        case Media(kind="image"):
            return {"type": "image_url", "image_url": {"url": media.to_url(part), **given(detail=part.detail)}}
        case Media(kind="audio") if part.data:
            form = part.media_type.removeprefix("audio/").removeprefix("x-").replace("mpeg", "mp3")
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": form}}
        case Media(kind="document"):
            return _document(part)
    raise UnsupportedError(f"This provider takes no {type(part).__name__} here.", "messages")


def _document(part: Media) -> dict[str, Any]:
    text = media.text_of(part)
    if text is not None:
        return {"type": "text", "text": f"{part.name}\n\n{text}" if part.name else text}
    if part.url:
        raise UnsupportedError("This provider takes no document by its URL; send its data.", "messages")
    if part.file_id:
        return {"type": "file", "file": {"file_id": part.file_id}}
    return {"type": "file", "file": {"filename": part.name or "document.pdf", "file_data": media.to_url(part)}}

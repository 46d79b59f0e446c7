"""Decides which answers of providers lie in `recorded/`, byte for byte, for tests of the dialects to read.

`read("chat", stream=True)` is one of them; `python tests/ai/recorded.py` writes them anew from the fake provider, whose
forms follow what the providers' own documentation and packages show.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from provider.mishaps import ERRORS, encoded
from provider.orders import order, reply
from provider.requests import speaker

FOLDER = Path(__file__).with_name("recorded")
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CALLS = [{"name": "weather", "arguments": {"city": city}} for city in ("Paris", "Zürich")]
SAID = {
    "text": order(id="text", text="Good day — Zürich is “sunny” ☀️\n\nisn't it?", input=12, cached=4),
    "tools": order(id="tools", text="Let me look.", call=CALLS, input=50),
    "thinking": order(id="thinking", think=4, shown=True, say=5, input=20, cached=8, written=6),
    "refused": order(id="refused", refuse=True, input=9),
    "cut": order(id="cut", say=9, input=3),
    "broken": order(id="broken", say=9, input=3, error="overloaded", after=3),
}
CAP = {"cut": 4}


def _chat(said: str, cap: int | None, stream: bool) -> tuple[str, str, dict[str, Any]]:
    body: dict[str, Any] = {"model": "gpt-5-nano", "messages": [{"role": "user", "content": said}], "stream": stream}
    if stream:
        body["stream_options"] = {"include_usage": True}
    if cap is not None:
        body["max_completion_tokens"] = cap
    return "/v1/chat/completions", "", body


def _responses(said: str, cap: int | None, stream: bool) -> tuple[str, str, dict[str, Any]]:
    return "/v1/responses", "", {"model": "gpt-5-nano", "input": said, "stream": stream, "max_output_tokens": cap}


def _completions(said: str, cap: int | None, stream: bool) -> tuple[str, str, dict[str, Any]]:
    body = {"model": "davinci", "prompt": said, "stream": stream, "max_tokens": cap}
    return "/v1/completions", "", {**body, "stream_options": {"include_usage": True}} if stream else body


def _anthropic(said: str, cap: int | None, stream: bool) -> tuple[str, str, dict[str, Any]]:
    messages = [{"role": "user", "content": said}]
    body = {"model": "claude-haiku-4-5", "max_tokens": cap or 4096, "messages": messages, "stream": stream}
    return "/v1/messages", "", body


def _gemini(said: str, cap: int | None, stream: bool) -> tuple[str, str, dict[str, Any]]:
    verb, query = ("streamGenerateContent", "alt=sse") if stream else ("generateContent", "")
    body = {"contents": [{"role": "user", "parts": [{"text": said}]}], "generationConfig": {"maxOutputTokens": cap}}
    return f"/v1beta/models/gemini-2.5-flash:{verb}", query, body


def _bedrock(said: str, cap: int | None, stream: bool) -> tuple[str, str, dict[str, Any]]:
    body: dict[str, Any] = {"messages": [{"role": "user", "content": [{"text": said}]}]}
    if cap is not None:
        body["inferenceConfig"] = {"maxTokens": cap}
    return f"/model/claude/{'converse-stream' if stream else 'converse'}", "", body


ENDPOINTS = {
    "chat": _chat,
    "responses": _responses,
    "completions": _completions,
    "anthropic": _anthropic,
    "gemini": _gemini,
    "bedrock": _bedrock,
}


def name_of(endpoint: str, said: str, stream: bool) -> str:
    end = ("bin" if endpoint == "bedrock" else "sse") if stream else "json"
    return f"{endpoint}-{said}.{end}"


def read(endpoint: str, said: str = "text", stream: bool = False) -> bytes:
    """What a provider answered at an endpoint (`ENDPOINTS`) when it was told to say something (`SAID`)."""
    return (FOLDER / name_of(endpoint, said, stream)).read_bytes()


def answers() -> dict[str, bytes]:
    """{file: content} as the provider says it now."""
    from provider.server import spoken

    found = {}
    for endpoint, make in ENDPOINTS.items():
        for name, said in SAID.items():
            if endpoint == "completions" and name not in {"text", "cut"}:
                continue
            for stream in (False, True):
                if name == "broken" and not stream:
                    continue
                path, query, body = make(said, CAP.get(name), stream)
                speaking = speaker(path, query, "application/json", json.dumps(body).encode())
                assert speaking is not None
                found[name_of(endpoint, name, stream)] = spoken(speaking, reply(speaking.asked, 1))
    for dialect in ("openai", "anthropic", "gemini", "bedrock"):
        for error in ERRORS:
            found[f"error-{dialect}-{error}.json"] = encoded(error, dialect, "req_0001")
    return found


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.iterdir():
        old.unlink()
    for name, content in answers().items():
        (FOLDER / name).write_bytes(content)
    sys.stdout.write(f"{len(answers())} files\n")

"""Decides how an answer is said as a response, whole or in events.

https://platform.openai.com/docs/api-reference/responses/object and /responses-streaming
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from .._usage import Usage
from . import errors, sse
from .canonical import (
    CALL_PROOF,
    FILTERED,
    LENGTH,
    REFUSED,
    Answer,
    Begin,
    End,
    Failure,
    Part,
    Piece,
    Refused,
    RefusedPiece,
    Request,
    Text,
    TextPiece,
    Thinking,
    ThinkingPiece,
    ToolBegin,
    ToolCall,
    ToolPiece,
    Used,
)
from .responses_requests import SEALED

_INCOMPLETE = {LENGTH: "max_output_tokens", FILTERED: "content_filter", REFUSED: "content_filter"}
Shown = dict[str, Any]


def shown_usage(usage: Usage) -> Shown:
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.written},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }


def _response(id: str, model: str, created_s: int) -> Shown:
    """A response of which nothing has been said yet."""
    return {
        "id": id if id.startswith("resp_") else f"resp_{id}",
        "object": "response",
        "created_at": created_s,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "model": model,
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "truncation": "disabled",
        "usage": None,
        "user": None,
        "metadata": {},
    }


def _ended(finish: str, refused: bool) -> Shown:
    """How a response ends. A refusal that is said is an answer, and whole."""
    reason = _INCOMPLETE.get(finish) if finish == LENGTH or not refused else None
    return {
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
    }


def _thought(id: str, text: str, proof: str, redacted: bool) -> Shown:
    summary = [] if redacted or not text else [{"type": "summary_text", "text": text}]
    item: Shown = {"id": id, "type": "reasoning", "summary": summary}
    if redacted or proof:
        item["encrypted_content"] = SEALED + text if redacted else proof
    return item


def _message(id: str, content: list[Shown], status: str = "completed") -> Shown:
    return {"id": id, "type": "message", "role": "assistant", "status": status, "content": content}


def _call(id: str, call: ToolCall, status: str = "completed") -> Shown:
    return {
        "id": id, "type": "function_call", "status": status, "arguments": call.arguments, "call_id": call.id,
        "name": call.name,
    }  # fmt: skip


def _text(text: str) -> Shown:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _refusal(text: str) -> Shown:
    return {"type": "refusal", "refusal": text}


def write_answer(answer: Answer) -> bytes:
    """The body for a caller."""
    response = _response(answer.id, answer.model, answer.created_s or int(time.time()))
    output: list[Shown] = response["output"]
    for part in answer.parts:
        _add(output, part, answer.id.removeprefix("resp_"))
    refused = any(isinstance(part, Refused) for part in answer.parts)
    response |= {**_ended(answer.finish, refused), "usage": shown_usage(answer.usage)}
    return msgspec.json.encode(response)


def _add(output: list[Shown], part: Part, id: str) -> None:
    place = len(output)
    match part:
        case Thinking():
            output.append(_thought(f"rs_{place}_{id}", part.text, part.signature, part.redacted))
        case ToolCall():
            if part.signature:
                output.append(_thought(f"rs_{place}_{id}", "", CALL_PROOF + part.signature, False))
            output.append(_call(f"fc_{len(output)}_{id}", part))
        case Text() | Refused():
            content = _text(part.text) if isinstance(part, Text) else _refusal(part.text)
            if output and output[-1]["type"] == "message":
                output[-1]["content"].append(content)
            else:
                output.append(_message(f"msg_{place}_{id}", [content]))


class _Open:
    """An item that is being said, and what it is so far."""

    def __init__(self, kind: str, id: str, index: int) -> None:
        self.kind = kind  # "text", "refusal", "thought", "sealed", "call"
        self.place: Shown = {"item_id": id, "output_index": index}
        self.text = ""  # or the arguments of the call, or what is sealed
        self.proof = ""
        self.call = ToolCall("", "", "")

    def part(self) -> Shown:
        """The only part of a message or a thought."""
        if self.kind == "thought":
            return {"type": "summary_text", "text": self.text}
        return _text(self.text) if self.kind == "text" else _refusal(self.text)

    def item(self) -> Shown:
        id = self.place["item_id"]
        if self.kind == "call":
            return _call(id, ToolCall(self.call.id, self.call.name, self.text))
        if self.kind in ("thought", "sealed"):
            return _thought(id, self.text, self.proof, self.kind == "sealed")
        return _message(id, [self.part()])


class AnswerWriter:
    """Writes the events of an answer: items one after the other, each added and done. The end is for `finish`."""

    content_type = b"text/event-stream; charset=utf-8"

    def __init__(self, request: Request) -> None:
        self._model = request.model
        self._response: Shown = {}
        self._number = 0
        self._open: _Open | None = None
        self._usage = Usage()
        self._refused = False
        self._end: End | None = None

    def write(self, piece: Piece) -> bytes:
        match piece:
            case TextPiece():
                return self._message("text", "response.output_text.delta", piece.text, logprobs=[])
            case RefusedPiece():
                self._refused = True
                return self._message("refusal", "response.refusal.delta", piece.text)
            case ToolPiece():
                return self._more("response.function_call_arguments.delta", piece.arguments)
            case ThinkingPiece():
                return self._thinking(piece)
            case ToolBegin():
                return self._tool(piece)
            case Begin():
                return self._begin(piece.id, piece.model or self._model)
            case Used():
                self._usage = piece.usage
            case End():
                self._end = piece
            case Failure():
                return self._failed(piece)
        return b""

    def finish(self) -> bytes:
        """The end, where there was one."""
        if self._end is None:
            return b""
        before = self._begun() + self._done()
        self._response |= {**_ended(self._end.finish, self._refused), "usage": shown_usage(self._usage)}
        return before + self._event(f"response.{self._response['status']}", response=self._response)

    def _begun(self) -> bytes:
        return b"" if self._response else self._begin("", self._model)

    def _begin(self, id: str, model: str) -> bytes:
        self._response = _response(id, model, int(time.time()))
        created = self._event("response.created", response=self._response)
        return created + self._event("response.in_progress", response=self._response)

    def _failed(self, failure: Failure) -> bytes:
        """Both the flat form that is documented and the nested one that is sent: clients look for either."""
        error = errors.shown("openai", failure)["error"]
        flat = {"code": error["code"], "message": error["message"], "param": error["param"]}
        return self._event("error", **flat, error=error)

    def _event(self, name: str, /, **fields: Any) -> bytes:
        event = {"type": name, "sequence_number": self._number, **fields}
        self._number += 1
        return sse.event(msgspec.json.encode(event), name.encode())

    # Items

    def _message(self, kind: str, event: str, text: str, **fields: Any) -> bytes:
        if not text:
            return b""
        begun = b""
        if self._open is None or self._open.kind != kind:
            begun = self._start(kind, "msg", _message("", [], "in_progress")) + self._part("added")
        return begun + self._more(event, text, content_index=0, **fields)

    def _thinking(self, piece: ThinkingPiece) -> bytes:
        kind = "sealed" if piece.redacted else "thought"
        begun = b""
        if self._open is None or self._open.kind != kind or self._open.proof or piece.redacted:
            begun = self._start(kind, "rs", _thought("", "", "", False))
        assert self._open is not None
        self._open.proof = piece.signature
        if piece.redacted:
            self._open.text = piece.text
            return begun
        if not piece.text:
            return begun
        begun += b"" if self._open.text else self._part("added")
        return begun + self._more("response.reasoning_summary_text.delta", piece.text, summary_index=0)

    def _tool(self, piece: ToolBegin) -> bytes:
        proof = self._thinking(ThinkingPiece(signature=CALL_PROOF + piece.signature)) if piece.signature else b""
        call = ToolCall(piece.id, piece.name, "")
        begun = self._start("call", "fc", _call("", call, "in_progress"))
        assert self._open is not None
        self._open.call = call
        return proof + begun

    def _start(self, kind: str, prefix: str, item: Shown) -> bytes:
        """A new item, after the end of the one before."""
        before = self._begun() + self._done()
        index = len(self._response["output"])
        id = f"{prefix}_{index}_{self._response['id'].removeprefix('resp_')}"
        self._open = _Open(kind, id, index)
        return before + self._event("response.output_item.added", output_index=index, item={**item, "id": id})

    def _more(self, event: str, text: str, **fields: Any) -> bytes:
        if self._open is None:
            raise ValueError("arguments of no call")
        self._open.text += text
        return self._event(event, **self._open.place, delta=text, **fields)

    def _part(self, verb: str) -> bytes:
        """The part that the open item consists of, as it is now."""
        assert self._open is not None
        place, part = self._open.place, self._open.part()
        if self._open.kind == "thought":
            return self._event(f"response.reasoning_summary_part.{verb}", **place, summary_index=0, part=part)
        return self._event(f"response.content_part.{verb}", **place, content_index=0, part=part)

    def _done(self) -> bytes:
        """The end of the open item."""
        open = self._open
        if open is None:
            return b""
        place, text = open.place, open.text
        said = b""
        match open.kind:
            case "call":
                name = open.call.name
                said = self._event("response.function_call_arguments.done", **place, name=name, arguments=text)
            case "thought" if text:
                said = self._event("response.reasoning_summary_text.done", **place, summary_index=0, text=text)
                said += self._part("done")
            case "text":
                said = self._event("response.output_text.done", **place, content_index=0, text=text, logprobs=[])
                said += self._part("done")
            case "refusal":
                said = self._event("response.refusal.done", **place, content_index=0, refusal=text)
                said += self._part("done")
        item = open.item()
        self._response["output"].append(item)
        self._open = None
        return said + self._event("response.output_item.done", output_index=place["output_index"], item=item)

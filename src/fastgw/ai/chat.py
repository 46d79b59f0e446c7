"""Decides what is said in the dialect of OpenAI's chat completions: of callers and of providers."""

from __future__ import annotations

from . import errors
from .canonical import Failure, Request
from .chat_answers import AnswerReader, AnswerWriter, read_answer, write_answer
from .chat_requests import read_request, write_request
from .errors import read as read_error

__all__ = [
    "AnswerReader", "AnswerWriter", "path", "read_answer", "read_error", "read_request", "write_answer", "write_error",
    "write_request",
]  # fmt: skip


def path(_request: Request, _model: str) -> str:
    return "/chat/completions"


def write_error(failure: Failure) -> bytes:
    return errors.write("openai", failure)

"""Decides what is said in the dialect of Anthropic's Messages API: of callers and of providers."""

from __future__ import annotations

from . import errors
from .anthropic_answers import AnswerReader, AnswerWriter, read_answer, write_answer
from .anthropic_requests import read_count, read_request, write_request
from .canonical import Failure, Request
from .errors import read as read_error

__all__ = [
    "AnswerReader", "AnswerWriter", "path", "read_answer", "read_count", "read_error", "read_request", "write_answer",
    "write_error", "write_request",
]  # fmt: skip


def path(_request: Request, _model: str) -> str:
    return "/messages"


def write_error(failure: Failure) -> bytes:
    return errors.write("anthropic", failure)

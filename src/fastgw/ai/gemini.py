"""Decides what is said to Gemini, and what it says: the dialect of a provider."""

from __future__ import annotations

from .gemini_answers import AnswerReader, read_answer, read_count, read_error
from .gemini_requests import count_path, path, write_count, write_request

__all__ = [
    "AnswerReader", "count_path", "path", "read_answer", "read_count", "read_error", "write_count", "write_request",
]  # fmt: skip

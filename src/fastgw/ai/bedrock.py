"""Decides what is said to Amazon Bedrock, and what it says: the dialect of a provider."""

from __future__ import annotations

from .bedrock_answers import AnswerReader, read_answer, read_error
from .bedrock_requests import path, write_request

__all__ = ["AnswerReader", "path", "read_answer", "read_error", "write_request"]

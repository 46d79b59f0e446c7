"""Decides what is said in the dialect of OpenAI's Responses API: of callers, whose provider may have no such endpoint.

Nothing is kept from one response to the next: what a conversation was is in the request, or it is refused.
"""

from __future__ import annotations

from . import errors
from .canonical import Failure
from .responses_answers import AnswerWriter, write_answer
from .responses_requests import read_request

__all__ = ["AnswerWriter", "read_request", "write_answer", "write_error"]


def write_error(failure: Failure) -> bytes:
    return errors.write("openai", failure)

"""Decides which thoughts in a conversation Claude may be shown: those that it has had itself.

A caller of Anthropic's sends back what a model thought. Where another provider served the turn, its thoughts have no
signature, or one of ours, and Anthropic refuses both.
"""

from __future__ import annotations

import re

import msgspec
from msgspec import Raw, Struct

from .canonical import CALL_PROOF

_FOREIGN = re.compile(rb'"signature"\s*:\s*"(?:"|%b)' % CALL_PROOF.encode())


class _Block(Struct):
    type: str = ""
    signature: str = ""

    @property
    def foreign(self) -> bool:
        return self.type == "thinking" and (not self.signature or self.signature.startswith(CALL_PROOF))


_MESSAGES = msgspec.json.Decoder(list[dict[str, Raw]])
_BLOCKS = msgspec.json.Decoder(list[Raw])
_BLOCK = msgspec.json.Decoder(_Block)


def has_foreign(body: bytes) -> bool:
    """Whether there may be any in a request."""
    return b'"signature"' in body and _FOREIGN.search(body) is not None


def own(messages: Raw) -> Raw:
    """The messages without what no Claude has thought; as they are, where that is all of it or they make no sense."""
    if not _FOREIGN.search(messages):
        return messages
    try:
        kept = [message for message in map(_own, _MESSAGES.decode(messages)) if message]
    except (msgspec.DecodeError, RecursionError):
        return messages
    return Raw(msgspec.json.encode(kept))


def _own(message: dict[str, Raw]) -> dict[str, Raw] | None:
    content = message.get("content", Raw(b""))
    if not bytes(content).startswith(b"["):
        return message
    blocks = [block for block in _BLOCKS.decode(content) if not _BLOCK.decode(block).foreign]
    return {**message, "content": Raw(msgspec.json.encode(blocks))} if blocks else None

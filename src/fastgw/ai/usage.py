"""Decides what tokens cost: exact in nanos, rounded up once for a whole call."""

from __future__ import annotations

from msgspec import Struct

from ..model import Price

MILLION = 1_000_000


class Usage(Struct):
    """What a call has used, in tokens; `input` and `output` are whole, the others say how much of them is of a kind.

    `cached` (read from the provider's cache), `written` (to it, and `written_long` of that for an hour), `audio_in` and
    `image_in` are part of `input`; `reasoning`, `audio_out` and `image_out` part of `output`. `images` and `searches`
    are counted one by one, `characters` and `seconds` of speech.
    """

    input: int = 0
    cached: int = 0
    written: int = 0
    written_long: int = 0
    audio_in: int = 0
    image_in: int = 0
    output: int = 0
    reasoning: int = 0
    audio_out: int = 0
    image_out: int = 0
    images: int = 0
    searches: int = 0
    characters: int = 0
    seconds: int = 0


def tier(price: Price, input_tokens: int) -> Price:
    """What holds for a call whose input is that long."""
    while price.above is not None and input_tokens > price.above_tokens:
        price = price.above
    return price


def millionths(price: Price, usage: Usage) -> int:
    """What the call costs at that price, in millionths of a nano, exactly.

    A provider whose parts are more than the whole is believed in the parts.
    """
    price = tier(price, usage.input)
    plain_in = max(usage.input - usage.cached - usage.written - usage.audio_in - usage.image_in, 0)
    plain_out = max(usage.output - usage.reasoning - usage.audio_out - usage.image_out, 0)
    counted = usage.images * price.image + usage.searches * price.search + usage.seconds * price.second
    return (
        plain_in * price.input
        + usage.cached * price.cached
        + (usage.written - usage.written_long) * price.written
        + usage.written_long * price.written_long
        + usage.audio_in * price.audio_in
        + usage.image_in * price.image_in
        + plain_out * price.output
        + usage.reasoning * price.reasoning
        + usage.audio_out * price.audio_out
        + usage.image_out * price.image_out
        + usage.characters * price.characters
        + (price.request + counted) * MILLION
    )


def cost_nanos(price: Price, usage: Usage) -> int:
    """What the call costs at that price; a fraction of a nano counts as one."""
    return -(-millionths(price, usage) // MILLION)

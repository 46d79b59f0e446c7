"""What calls to models use, and what that costs (types of the compiled module)."""

from typing_extensions import disjoint_base

from fastgw.model import Price

@disjoint_base
class Usage:
    input: int
    cached: int
    written: int
    written_long: int
    audio_in: int
    image_in: int
    output: int
    reasoning: int
    audio_out: int
    image_out: int
    images: int
    searches: int
    characters: int
    seconds: int
    def __init__(
        self,
        input: int = 0,
        cached: int = 0,
        written: int = 0,
        written_long: int = 0,
        audio_in: int = 0,
        image_in: int = 0,
        output: int = 0,
        reasoning: int = 0,
        audio_out: int = 0,
        image_out: int = 0,
        images: int = 0,
        searches: int = 0,
        characters: int = 0,
        seconds: int = 0,
    ) -> None: ...
    def __eq__(self, value: object, /) -> bool: ...
    def replace(self, **changes: int) -> Usage: ...

@disjoint_base
class Tariff:
    def __init__(self, price: Price) -> None: ...
    def cost_nanos(self, usage: Usage) -> int: ...

@disjoint_base
class Fare:
    def rated(self, tariff: Tariff, likely: Usage, input_tokens: int) -> None: ...
    def most_nanos(self, tokens: int) -> int: ...
    def paid_tokens(self, nanos: int, most: int) -> int: ...
    def likely_nanos(self, tokens: int) -> int: ...

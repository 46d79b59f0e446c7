"""Decides whether JSON is as a JSON Schema says, and what is told where it is not.

Patterns are matched in linear time, and nothing is ever fetched: neither the schema nor a caller can make that slow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

WRONG_MAX = 10  # of one body that are told
MESSAGE_MAX = 500  # characters


class Wrong(Struct, frozen=True):
    """What is wrong in a body: `pointer` is RFC 6901's, `place` as people write it, "items[0].name", "" for all."""

    pointer: str
    place: str
    message: str


class Checker:
    """A schema made ready; ValueError where it is none. The drafts 4 to 2020-12, by its `$schema`; the last without."""

    def __init__(self, schema: Any) -> None:
        # Late: it takes 7 MiB and 20 ms, of those who publish prompts alone.
        import jsonschema_rs as library

        try:
            self._validator = library.validator_for(
                schema, validate_formats=True, offline=True, pattern_options=library.RegexOptions(), mask="the value"
            )
        except library.ValidationError as error:
            raise ValueError(f"{_place(error.instance_path) or 'it'}: {error.message}") from None
        except library.ReferencingError as error:
            raise ValueError(error.message) from None

    def wrong(self, value: Any) -> list[Wrong]:
        """What is wrong in it, the first few; nothing if it is valid."""
        if self._validator.is_valid(value):
            return []
        found: list[Wrong] = []
        for error in self._validator.iter_errors(value):
            path = error.instance_path
            pointer = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
            found.append(Wrong(pointer, _place(path), error.message[:MESSAGE_MAX]))
            if len(found) == WRONG_MAX:
                break
        return found


def _place(path: Sequence[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")

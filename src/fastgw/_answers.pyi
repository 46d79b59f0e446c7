"""The bytes of refusals (types of the compiled module)."""

from typing_extensions import disjoint_base

from fastgw.refusals import Template

@disjoint_base
class Answers:
    def __init__(self, templates: list[list[Template | None]]) -> None: ...

"""Decides what an account's plan is, by its name: the plans of the file and their slots in the segment."""

from collections.abc import Iterable

from .._segment import Segment
from ..model import Plan
from .errors import Invalid

NONE = Plan(name="")


class Plans:
    """The plans that are declared now."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.by_name: dict[str, Plan] = {}
        self.slots: dict[str, int] = {"": 0}

    def declare(self, plans: Iterable[Plan]) -> None:
        """These and no others, from now on. Raises SegmentError when there is no slot left."""
        by_name = {plan.name: plan for plan in plans}
        self.slots = {"": 0} | {name: self.segment.plan_slot(name) for name in by_name}
        self.by_name = by_name

    def get(self, name: str) -> Plan:
        """The plan of that name, one without any rule for "". Raises Invalid."""
        if not name:
            return NONE
        plan = self.by_name.get(name)
        if plan is None:
            raise Invalid(f'plan "{name}": no plan has this name')
        return plan

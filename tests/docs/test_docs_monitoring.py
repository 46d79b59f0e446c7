"""The page on monitoring has every metric and every line that a gateway can say, and none that there is not."""

import re

import pytest
import said
from pages import ROOT, explained, sections

from fastgw.refusals import Refusal

PAGE = ROOT / "docs" / "monitoring.md"


def base(name: str) -> str:
    return re.sub(r"_(total|bucket|count|sum)$", "", name)


def test_an_alert_names_metrics_and_codes_that_there_are() -> None:
    text = dict(sections(PAGE))["What to alert on"]
    assert set(re.findall(r"fastgw_[a-z_]*[a-z]", text)) <= set(explained(PAGE))
    codes = {refusal.name.lower() for refusal in Refusal}
    assert set(re.findall(r'verdict="(\w+)"', text)) <= codes


@pytest.mark.parametrize(("where", "text"), list(said.lines()))
def test_every_line_of_the_log_is_explained(where: str, text: str) -> None:
    page = " ".join(PAGE.read_text().split())
    words = text.removeprefix("fastgw: ").removeprefix("error: ").removeprefix("warning: ")
    assert " ".join(words.split()) in page, f"{where} is not in {PAGE.name}"

"""The page on monitoring has every metric and every line that a gateway can say, and none that there is not."""

import re

import pytest
import said
from pages import ROOT, sections, table_rows

from fastgw.refusals import Refusal

PAGE = ROOT / "docs" / "monitoring.md"
FAMILIES = {
    name
    for path in sorted((said.PACKAGE / "control").glob("*.py"))
    for name in re.findall(r'"(fastgw_[a-z_]*[a-z])"', path.read_text())
}


def base(name: str) -> str:
    return re.sub(r"_(total|bucket|count|sum)$", "", name)


def test_every_metric_is_explained_and_there() -> None:
    text = dict(sections(PAGE))["Every metric"]
    rows = table_rows(text, ("metric", "kind"))
    assert {base(row[0].strip("`")) for row in rows} == FAMILIES
    for name, kind, _ in rows:
        assert name.endswith("_total`") == (kind == "counter"), name


def test_an_alert_names_metrics_and_codes_that_there_are() -> None:
    text = dict(sections(PAGE))["What to alert on"]
    assert {base(name) for name in re.findall(r"fastgw_[a-z_]*[a-z]", text)} <= FAMILIES
    codes = {refusal.name.lower() for refusal in Refusal}
    assert set(re.findall(r'verdict="(\w+)"', text)) <= codes


@pytest.mark.parametrize(("where", "text"), list(said.lines()))
def test_every_line_of_the_log_is_explained(where: str, text: str) -> None:
    page = " ".join(PAGE.read_text().split())
    words = text.removeprefix("fastgw: ").removeprefix("error: ").removeprefix("warning: ")
    assert " ".join(words.split()) in page, f"{where} is not in {PAGE.name}"

"""Whatever a document holds ends in a configuration or in problems, never in another exception."""

from datetime import UTC, date, datetime, time
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fastgw.config.fields import Report
from fastgw.config.tables import ARRAYS, read_tables
from fastgw.config.toml_lines import Lines
from fastgw.settings import SETTINGS

FIELDS = (
    "name", "targets", "path", "hosts", "methods", "upstream", "auth", "price", "rate", "burst", "dialect",
    "forward_key", "preserve_host", "set_headers", "balance", "credit", "account", "expires", "revoked", "x", "charge",
    "cost_header", "units_header", "unit_price", "idempotency", "plan", "suspended", "budget", "budget_period",
    "requests_per_day", "requests_per_month", "timezone", "allowance", "prices", "upgrades", "minute_price",
    "mib_price",
)  # fmt: skip
SECRET = "sk secret that is refused"
SCALARS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["u", "/v1", "http://a", "1/s", "0.5", "GET", "none", "${X}", "http://a:b@c", "[::1]"]),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.sampled_from([datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 1, 1), date(2027, 1, 1), time(1, 2)]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
TABLES = st.lists(st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=6) | VALUES, max_size=3)


@settings(max_examples=100)
@given(st.dictionaries(st.sampled_from(ARRAYS), TABLES | VALUES))
def test_tables_of_anything_end_in_problems(document: dict[str, Any]) -> None:
    if isinstance(document.get("keys"), list):
        document["keys"].append({"key": SECRET})
    report = Report(lambda _: "here")
    read_tables(document, report, {"X": "x"}, accounts_elsewhere=False)
    assert SECRET not in str(report.problems)
    if document.get("keys"):
        assert report.problems


@settings(max_examples=100)
@given(VALUES)
def test_a_setting_of_anything_is_taken_or_refused_by_its_rule(value: object) -> None:
    for row in SETTINGS:
        parsed: object = None
        refusal = ""
        try:
            parsed = row.parse(value)
        except ValueError as error:
            refusal = str(error)
        if refusal:
            assert refusal.startswith(("must be ", "must name "))
        else:
            kinds = {"switch": bool, "networks": tuple}
            assert isinstance(parsed, kinds.get(row.kind, int if row.is_number else str))


@settings(max_examples=100)
@given(st.text(alphabet="[]{}=\"'#\n\\ ab.\r"))
def test_lines_of_anything_are_lines_of_the_text(text: str) -> None:
    lines = Lines(text)
    for path in (("a",), ("a", 0), ("a", "b"), ("b", 0, "a")):
        assert 1 <= lines.line(path) <= text.count("\n") + 1

"""What an upstream's answer says a call has cost: decimal money and whole units, to the nano, whatever the text."""

from decimal import ROUND_CEILING, Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastgw._http import FRAMING_LENGTH, PLAIN, ResponseHead

MOST = 2**63 - 1
DIGITS = st.text("0123456789", min_size=1, max_size=24)


def cost(*values: str, unit_price: int = 0, name: str = "X-Cost") -> int:
    """What a head with these values of the field says, read by its name in lower case."""
    lines = "".join(f"{name}: {value}\r\n" for value in values)
    data = f"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{lines}\r\n".encode("latin-1")
    head = ResponseHead()
    assert head.scan(data, 0, len(data)) == PLAIN
    return head.take_cost(b"x-cost", unit_price)


@pytest.mark.parametrize(
    ("text", "nanos"),
    [
        ("0", 0), ("0.0", 0), ("1", 10**9), ("0.001", 10**6), ("000.5", 5 * 10**8), ("0.123456789", 123_456_789),
        ("12.50", 125 * 10**8), ("9000000000", 9 * 10**18), ("9223372036.854775807", MOST),
        ("1e-9", 1), ("2.85e-05", 28_500), ("2.5E+1", 25 * 10**9), ("1e0", 10**9),
    ],
)  # fmt: skip
def test_decimal_money_is_exact(text: str, nanos: int) -> None:
    assert cost(text) == nanos


@pytest.mark.parametrize(("text", "nanos"), [("0.0000000001", 1), ("0.0010000001", 10**6 + 1), ("1e-400", 1)])
def test_a_fraction_of_a_nano_counts_as_one(text: str, nanos: int) -> None:
    assert cost(text) == nanos


@pytest.mark.parametrize("text", ["9223372036.854775808", "1e10", "99999999999999999999999999", "1e999999999999"])
def test_more_than_fits_is_the_most_that_does(text: str) -> None:
    assert cost(text) == MOST


@pytest.mark.parametrize(
    "text",
    ["", "-1", "+1", "1.", ".5", ".", "1,5", "1 2", "$1", "1.2.3", "0x10", "1e", "1e+", "e5", "1e5.0", "nan", "inf",
     "١", "1_000"],
)  # fmt: skip
def test_what_is_no_decimal_says_nothing(text: str) -> None:
    assert cost(text.encode().decode("latin-1")) == -1


@given(DIGITS, st.none() | DIGITS, st.none() | st.integers(-40, 40))
@example("9999999999", "9999999999999999999", None)
@example("0", "00000000000000000000000000001", 20)
def test_any_decimal_is_what_exact_arithmetic_makes_of_it(whole: str, part: str | None, exponent: int | None) -> None:
    text = whole + ("" if part is None else f".{part}") + ("" if exponent is None else f"e{exponent}")
    exact = int(Decimal(text).scaleb(9).to_integral_value(ROUND_CEILING))
    assert cost(text) == min(exact, MOST)


@given(st.integers(0, 2**80), st.integers(1, 10**12))
def test_units_are_multiplied_by_their_price(units: int, price: int) -> None:
    assert cost(str(units), unit_price=price) == min(units * price, MOST)


@pytest.mark.parametrize("text", ["", "1.5", "-1", "1e3", " ", "12 tokens"])
def test_units_are_whole_numbers(text: str) -> None:
    assert cost(text, unit_price=1) == -1


def test_two_costs_are_none() -> None:
    assert cost("1", "1") == -1
    assert cost() == -1


def test_the_field_is_found_whatever_its_case_and_is_not_passed_on() -> None:
    data = b"HTTP/1.1 200 OK\r\nA: 1\r\nx-COST: 0.5\r\nX-Cost-More: 2\r\nX-Cost: 1\r\nContent-Length: 0\r\n\r\n"
    head = ResponseHead()
    assert head.scan(data, 0, len(data)) == PLAIN
    head.take_cost(b"x-cost", 0)
    rendered = head.render(b"", FRAMING_LENGTH, 0, 0)
    assert rendered == b"HTTP/1.1 200 OK\r\nA: 1\r\nX-Cost-More: 2\r\nContent-Length: 0\r\n\r\n"

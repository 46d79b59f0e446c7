"""Digests, numbers and histograms come out bit for bit as the libraries and the documented formulas have them."""

import hashlib
import os
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction

import _kernels
import pytest
from hypothesis import given
from hypothesis import strategies as st

U64 = st.integers(0, 2**64 - 1)


@pytest.mark.parametrize("secret", [bytes(32), bytes(range(32)), b"\xff" * 32])
def test_a_digest_is_keyed_blake2b_for_every_length_of_key(secret: bytes) -> None:
    text = os.urandom(300)
    for length in range(1, 301):
        expected = hashlib.blake2b(text[:length], digest_size=32, key=secret).digest()
        assert _kernels.blake2b(secret, text[:length]) == expected, length


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=1, max_size=1000))
def test_a_digest_is_keyed_blake2b_for_any_bytes(secret: bytes, data: bytes) -> None:
    assert _kernels.blake2b(secret, data) == hashlib.blake2b(data, digest_size=32, key=secret).digest()


@given(U64 | st.sampled_from([10**n for n in range(20)] + [10**n - 1 for n in range(1, 20)] + [2**64 - 1]))
def test_decimals_are_as_python_writes_them(value: int) -> None:
    assert _kernels.decimal(value) == b"%d" % value


@given(U64 | st.sampled_from([16**n for n in range(16)] + [16**n - 1 for n in range(1, 17)]))
def test_hexadecimals_are_as_python_writes_them(value: int) -> None:
    assert _kernels.hexadecimal(value) == b"%x" % value
    assert _kernels.hexadecimal16(value) == b"%016x" % value


NANOS = (
    st.integers(-(2**63), 2**63 - 1)
    | st.integers(-(10**10), 10**10)
    | st.integers(0, 9 * 10**9).map(lambda n: n * 10**9)
)


@given(NANOS)
def test_money_is_an_exact_decimal_without_trailing_zeros(nanos: int) -> None:
    text = _kernels.money(nanos).decode()
    assert Decimal(text).scaleb(9) == nanos
    assert re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]{0,8}[1-9])?", text)


@given(st.integers(0, 253_402_300_799) | st.dates().map(lambda day: max(0, (day - date(1970, 1, 1)).days * 86_400)))
def test_a_time_is_as_the_library_writes_it(unix_s: int) -> None:
    written = datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert _kernels.timestamp(unix_s).decode() == written


def test_every_day_of_four_centuries_has_its_date() -> None:
    for days in range(-719_162 + 730_000, -719_162 + 730_000 + 146_097):  # from 1999 on
        assert _kernels.timestamp(days * 86_400)[:10] == date.fromordinal(719_163 + days).isoformat().encode()


@pytest.mark.parametrize(
    ("unix_s", "text"),
    [(-1, b"1970-01-01T00:00:00Z"), (253_402_300_800, b"9999-12-31T23:59:59Z"), (2**40, b"9999-12-31T23:59:59Z")],
)
def test_a_time_beyond_the_four_digits_of_a_year_is_the_last_that_has_them(unix_s: int, text: bytes) -> None:
    assert _kernels.timestamp(unix_s) == text


def end_us(bucket: int) -> Fraction:
    """The documented end of a latency bucket: 2^o · (5 + q) / 4 µs for bucket 4·o + q."""
    octave, quarter = divmod(bucket, 4)
    return Fraction(2**octave * (5 + quarter), 4)


@given(st.integers(0, 2**31 - 1) | st.integers(0, 5000) | st.integers(0, 30).map(lambda o: 2**o))
def test_a_latency_lies_in_the_bucket_whose_end_it_has_not_reached(us: int) -> None:
    bucket = _kernels.bucket_of_latency(us)
    assert us < end_us(bucket)
    assert bucket == 0 or us >= end_us(bucket - 1)


@given(st.integers(2**31, 2**62))
def test_the_last_bucket_takes_all_that_is_longer(us: int) -> None:
    assert _kernels.bucket_of_latency(us) == _kernels.BUCKETS - 1


def test_a_clock_that_went_backwards_counts_as_no_time() -> None:
    assert _kernels.bucket_of_latency(-1) == _kernels.bucket_of_latency(0) == 0

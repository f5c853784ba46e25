"""Numbers as people read them."""

import math

import pytest

from pages.ui import numbers
from pages.ui.numbers import THIN


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999, "999"),
        (272_474, "272,474"),
        (999_499, "999,499"),
        (1_000_000, f"1.00{THIN}M"),
        (999_600_000, f"1.00{THIN}G"),
        (40_813_184, f"40.8{THIN}M"),
        (4_089_184_256, f"4.09{THIN}G"),
        (123_456_789_012_345, f"123{THIN}T"),
    ],
)
def test_count(value, text):
    assert numbers.count(value) == text


def test_size_uses_decimal_units():
    assert numbers.size_bytes(999) == f"999{THIN}B"
    assert numbers.size_bytes(1_115_000) == f"1.11{THIN}MB" or numbers.size_bytes(1_115_000) == f"1.12{THIN}MB"
    assert numbers.size_bytes(102_500_000) == f"102{THIN}MB"


def test_percent_of_nothing_is_a_dash():
    assert numbers.percent(math.nan) == "–"


@pytest.mark.parametrize(("value", "sign"), [(0.031, "+"), (-0.031, "−"), (0.0, "±"), (-0.00001, "±")])
def test_points_show_their_sign(value, sign):
    assert numbers.points(value).startswith(sign)


def test_a_span_names_its_unit_once():
    assert numbers.span(-0.018, 0.005) == f"−1.8 to +0.5{THIN}points"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, f"0.0{THIN}s"),
        (0.0002, f"1{THIN}ms"),
        (0.04, f"40{THIN}ms"),
        (0.0951, f"0.1{THIN}s"),
        (8.25, f"8.2{THIN}s"),
        (59.4, f"59{THIN}s"),
        (59.6, f"1{THIN}min 0{THIN}s"),
        (125, f"2{THIN}min 5{THIN}s"),
        (4320, f"1{THIN}h 12{THIN}min"),
    ],
)
def test_duration(seconds, text):
    assert numbers.duration(seconds) == text


def test_milliseconds_keep_three_digits():
    assert numbers.milliseconds(0.4567) == f"0.457{THIN}ms"
    assert numbers.milliseconds(12.345) == f"12.3{THIN}ms"
    assert numbers.milliseconds(1234.5) == f"1234{THIN}ms"


def test_fold_of_nothing_is_a_dash():
    assert numbers.fold(10, 5) == "2.00×"
    assert numbers.fold(10, 0) == "–"

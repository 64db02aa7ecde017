"""The model of rounding errors by itself: what it says of sums, and how it grows."""

from __future__ import annotations

import math

import pytest

from parity.budget.rounding import gamma, underflow, unit_roundoff

UNITS = [2.0**-24, 2.0**-53]


def test_unit_roundoff_is_half_the_distance_from_one_to_the_next_number():
    assert [unit_roundoff(dtype) for dtype in ("float32", "float64")] == UNITS
    assert underflow("float32") == 2.0**-126
    assert underflow("float64") == 2.0**-1022


@pytest.mark.parametrize("u", UNITS)
def test_gamma_grows_with_the_number_of_terms(u):
    bounds = [gamma(n, u) for n in range(1, 5000)]
    assert bounds == sorted(bounds)
    assert bounds[0] >= u


@pytest.mark.parametrize("n", [1, 10, 100, 10_000])
def test_gamma_grows_with_the_unit_roundoff(n):
    assert gamma(n, UNITS[1]) < gamma(n, 2.0**-40) < gamma(n, UNITS[0])


@pytest.mark.parametrize("u", UNITS)
def test_gamma_is_deterministic_for_few_terms_and_never_above(u):
    for n in (*range(1, 65), 100, 784, 10_000, 10**6):
        deterministic = n * u / (1 - n * u)
        assert gamma(n, u) <= deterministic
        if n < 64:
            assert gamma(n, u) == deterministic
    assert gamma(10_000, u) == pytest.approx(8 * 100 * u, rel=1e-4)  # c sqrt(n) instead of n


def test_gamma_has_a_value_where_the_deterministic_bound_has_none():
    assert math.isfinite(gamma(2**24, UNITS[0]))
    assert gamma(2**24, UNITS[0]) < 0.01


def test_gamma_of_few_terms_by_hand():
    assert gamma(3, 1 / 8) == pytest.approx((3 / 8) / (5 / 8), rel=1e-15)


def test_gamma_of_many_terms_by_hand():
    """u = 1/64, n = 4096: n u is 64, so nothing is sure; 8 sqrt(n) u = 8, and n u**2 / (1 - u) = 64/63."""
    assert gamma(4096, 1 / 64) == pytest.approx(math.e**8 * math.e ** (64 / 63) - 1, rel=1e-13)

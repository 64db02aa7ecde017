"""The element that a divergence is told of: that which uses most of its budget, or what had to be equal and is not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from parity.element import element
from parity.held import Asked
from parity.measure import measure
from parity.protocol import Key
from parity.unbounded import measured

KERNEL = Key("update", "z/kernel")


def told(reference, candidate, allowed, unbounded=None):
    """Of the second of two steps, the first of which is equal throughout."""
    one = Asked(KERNEL, "local", 5, reference, candidate, allowed, unbounded)
    rows = measure(reference, candidate, allowed)
    if unbounded is not None:
        rows, _ = measured(reference, candidate, allowed, unbounded)
    return element(one, 1, rows[1], allowed)


@pytest.mark.parametrize("sign", [1, -1])
def test_it_uses_most_of_its_budget_or_is_the_most_different(sign):
    r = np.full((2, 2, 3), 9.0)
    c = r.copy()
    c[1, 0, 1], c[1, 1, 2] = 9 + sign * 0.5, 9 + sign * 0.25
    budget = np.full((2, 2, 3), 0.25)
    budget[:, 1, 2] = 1 / 16
    assert told(r, c, lambda steps: budget[steps]) == 5
    assert told(r, c, 0.0) == 1


@pytest.mark.parametrize("unbounded", [None, lambda _: False])
@pytest.mark.parametrize(
    ("budget", "reference", "candidate", "at"),
    [
        ([1, 0, 0, 0], [0, 0, 0, 0], [0.9, 1e-20, 1e-10, 0], 2),  # the furthest off, not of those within their budget
        ([1, 0, 0, 0], [0, 0, -2, 0], [0.9, 1e-20, -2, -1e-30], 1),
        ([9, 9, 0, 9], [0, 0, 0, 0], [1, math.nan, 5, 0], 1),  # what is no number is further off than any other
        ([9, 9, 9, 9], [math.nan, 0, 0, 0], [math.nan, 1, 1, -math.inf], 3),
        ([0, 9, 9, 9], [0, 0, 0, 0], [1e-3, 1, 1, math.inf], 3),
        ([0, 0, 0, 0], [math.nan, 1, 2, 3], [math.nan, 1.5, 2, 3.25], 1),
    ],
)
def test_it_had_to_be_equal_where_nothing_else_is_beyond_all_measure(budget, reference, candidate, at, unbounded):
    rows = [np.array([[0, 0, 0, 0], values], np.float64) for values in (reference, candidate)]
    limit = np.array([[0, 0, 0, 0], budget], np.float64)
    assert told(*rows, lambda steps: limit[steps], unbounded) == at


def test_it_is_none_that_can_have_no_budget():
    reference, candidate = np.array([[0.0, 0.0, 1.0]] * 2), np.array([[0.0, 0.0, 1.0], [np.inf, 1e-3, 1.5]])
    unbounded = np.array([[True, False, False]])
    assert told(reference, candidate, lambda steps: np.zeros((len(steps), 3)), lambda _: unbounded) == 2

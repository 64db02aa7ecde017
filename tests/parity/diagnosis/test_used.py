"""How much of a budget is used, and what that comes to over all tensors and steps."""

from __future__ import annotations

import numpy as np
import pytest

from parity.diagnosis.used import WORST, Used, apart
from parity.protocol import Key

A, B = Key("forward", "dense/output"), Key("update", "dense/kernel")
CASES = {
    "equal": ([1.0, 2.0], [1.0, 2.0], 0.0),
    "half a budget": ([1.0, 2.0], [1.0, 2.5], 0.5),
    "twice the budget": ([1.0, 2.0], [3.0, 2.0], 2.0),
    "the largest, not the mean": ([1.0, 2.0, 3.0], [1.0, 2.0, 7.0], 4.0),
    "NaN on one side": ([np.nan, 2.0], [1.0, 2.0], np.inf),
    "NaN on the other": ([1.0, 2.0], [1.0, np.nan], np.inf),
    "NaN on both": ([np.nan, 2.0], [np.nan, 2.0], 0.0),
    "NaN on both and a difference": ([np.nan, 2.0], [np.nan, 4.0], 2.0),
    "infinity on both": ([np.inf, 2.0], [np.inf, 2.0], 0.0),
    "infinities of two signs": ([np.inf, 2.0], [-np.inf, 2.0], np.inf),
    "infinity on one side": ([np.inf, 2.0], [1.0, 2.0], np.inf),
    "another shape": ([1.0, 2.0], [1.0], np.inf),
    "never taken": ([1.0, 2.0], None, np.inf),
}


@pytest.mark.parametrize("case", CASES)
def test_how_much_of_a_budget_is_used(case):
    """At the second of two steps of a piece; at the first, and in the piece after it, both are equal."""
    candidate, taken, used = CASES[case]
    said = {A: np.array([candidate, candidate])}
    other = {} if taken is None else {A: np.array([candidate, taken] if len(taken) == len(candidate) else [taken] * 2)}
    found = apart([said, said], [other, {A: said[A]}], [{A: np.ones(2)}] * 2, [A])[A]
    assert found[1] == used
    assert found[2:].tolist() == [0, 0]


def test_a_difference_where_nothing_may_differ_is_infinitely_much():
    one = {A: np.array([[1.0], [1.0]])}
    found = apart([one], [{A: np.array([[1.0], [1.5]])}], [{A: np.zeros(2)}], [A])
    assert found[A].tolist() == [0, np.inf]


def test_what_the_candidate_does_not_tell_is_not_held_against_it():
    said, taken = {A: np.zeros((1, 1))}, {A: np.zeros((1, 1)), B: np.zeros((1, 1))}
    assert set(apart([said], [taken], [{A: np.ones(1)}], [A, B])) == {A}


@pytest.mark.parametrize("limitless", [np.inf, np.nan])
def test_a_budget_without_limit_explains_nothing_but_equality(limitless):
    """Where members blow up, no difference may pass for rounding: a wrong name would be confirmed."""
    key, told = Key("loss", "loss"), np.array([1.0, 2.0])
    budgets = [{key: np.array([limitless, limitless])}]
    used = apart([{key: told}], [{key: np.array([1.0, 2.5])}], budgets, [key])[key]
    np.testing.assert_array_equal(used, [0, np.inf])


def test_what_all_of_it_comes_to():
    used = Used([A, B], np.array([[0.5, 1.0, 100.0], [1.0, 10.0, np.inf]]))
    assert dict(used) == {A: pytest.approx([0.5, 1, 100]), B: pytest.approx([1, 10, np.inf])}
    assert used.score == pytest.approx((2 + 1 + np.log10(WORST)) / 3)
    assert used.first == (1, B)
    assert not used.explained
    within = Used([A, B], np.array([[0.5, 1.0], [0.0, 1.0]]))
    assert (within.score, within.first, within.explained) == (0, None, True)


def test_of_one_step_the_first_tensor_is_where_it_begins():
    assert Used([A, B], np.full((2, 2), 3.0)).first == (0, A)


def test_what_is_left_is_the_same_where_no_more_than_a_budget_is_used():
    one, other, more = (Used([A], np.array([[share, 5.0]])) for share in (0.2, 0.9, 1.1))
    assert one.left == other.left
    assert one.left != more.left
    assert one.left != Used([B], one.shares).left

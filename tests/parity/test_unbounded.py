"""What has no bound is neither a divergence nor agreement: in every lane, and next to what has one."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from parity.config import Experiment
from parity.judge import OVERFLOWS, Judge
from parity.lockstep import Pair
from parity.measure import measure
from parity.protocol import Key
from parity.unbounded import measured
from parity.verdict import Verdict
from tests.parity.test_judge import EXPERIMENT, PAIR

STEP, Z = 4, Key("forward", "z/pre_activation")
ENDS = [math.inf, -math.inf, math.nan, 1.0]
HUGE, LARGE = 1e200, 1e100  # a product of the first with itself is no number any more, one with the other is


def spoilt(
    at_reference: float, at_candidate: float, x: float, *, way: str = "local", experiment: Experiment = EXPERIMENT
) -> Judge:
    """A step whose first example and weights are that large, and what the two sides made of one product of them."""
    arrays = {key: array.copy() for key, array in PAIR.reference.arrays.items()}
    arrays[Key("batch", "x")][STEP - 1, 0] = x
    arrays[Key("update", "z/kernel")][STEP - 2] = HUGE
    others = {**arrays, Z: arrays[Z].copy()}
    arrays[Z][STEP - 1, 0, 2], others[Z][STEP - 1, 0, 2] = at_reference, at_candidate
    reference = dataclasses.replace(PAIR.reference, arrays=arrays)
    pair = {
        "local": Pair(reference, arrays, others),
        "itself": Pair(reference, others, arrays, {**others, Z: arrays[Z]}, reference.before),
        "audit": Pair(reference, others, {}, {}, reference.before, {**others, Z: arrays[Z]}),
        "free": Pair(reference, others, {}),
    }[way]
    judge = Judge(experiment, "float64")
    judge.take(pair, {key: np.zeros(6) for key in arrays} if way == "free" else None)
    return judge


WAYS = ["local", "itself", "audit", "free"]


@pytest.mark.parametrize("way", WAYS)
@given(st.sampled_from(ENDS), st.sampled_from(ENDS))
def test_what_may_overflow_is_neither_a_divergence_nor_agreement(way, one, other):
    judge = spoilt(one, other, HUGE, way=way)
    assert judge.first is None
    if not (one == other == 1):
        assert judge.verdict is Verdict.CANNOT_JUDGE
        same = one == other or (math.isnan(one) and math.isnan(other))
        assert (judge.unheld == {}) == same
        assert judge.unheld.get(str(Z), OVERFLOWS.format(STEP)) == OVERFLOWS.format(STEP)


@pytest.mark.parametrize("way", WAYS)
@given(st.sampled_from(ENDS), st.sampled_from(ENDS), st.sampled_from([1.0, LARGE, math.nan, math.inf]))
def test_what_cannot_overflow_has_to_be_the_same(way, one, other, x):
    """Whatever became of it, or of an operand that is not finite itself."""
    judge = spoilt(one, other, x, way=way)
    same = one == other or (math.isnan(one) and math.isnan(other))
    assert (judge.first is None) == same
    assert judge.unheld == {}
    if not same:
        assert (judge.verdict, judge.first.step, judge.first.key) == (Verdict.DIVERGED, STEP, Z)
        assert judge.first.used == math.inf


def test_where_rounding_drove_the_ensemble_to_no_number_the_free_lane_has_no_limit():
    free = {key: array.copy() for key, array in PAIR.free.items()}
    for step, found in ((5, math.inf), (6, math.nan)):
        free[Z][step - 1, 0, 2] = found
    drift = np.array([0, 0, 0, 0, math.inf, math.inf])
    for limit, verdict in ((drift, Verdict.CANNOT_JUDGE), (np.zeros(6), Verdict.DIVERGED)):
        judge = Judge(EXPERIMENT, "float64", replays=False)
        judge.take(Pair(PAIR.reference, free, {}), dict.fromkeys(PAIR.reference.arrays, limit))
        assert judge.verdict is verdict
        assert list(judge.unheld.values()) == ([OVERFLOWS.format(5)] if verdict is Verdict.CANNOT_JUDGE else [])


def test_a_tolerance_that_was_set_stands_whatever_may_overflow():
    rule = {"rtol": 1e-5, "atol": 0.0}
    experiment = EXPERIMENT.model_validate({**EXPERIMENT.model_dump(exclude={"examples"}), "tolerance": [rule]})
    judge = spoilt(1.0, math.inf, HUGE, experiment=experiment)
    assert (judge.verdict, judge.unheld) == (Verdict.DIVERGED, {})
    assert spoilt(1.0, math.inf, HUGE).verdict is Verdict.CANNOT_JUDGE


# measured -----------------------------------------------------------------------------------------------------------

FAR = float(np.finfo(np.float64).max)
R = np.array([[1.0, 2, 3], [1, math.inf, 3], [1, math.nan, math.inf], [1, 2, 3]])
C = np.array([[1.0, 2, 3], [1, math.nan, 3], [1, math.nan, -math.inf], [1, 2, FAR]])


def asking(of=True):
    """Says which steps it was asked for."""
    asked = []

    def unbounded(steps):
        asked.append(steps.tolist())
        return of

    return unbounded, asked


def test_nothing_is_asked_where_all_is_within_its_budget_or_has_an_ordinary_size():
    unbounded, asked = asking()
    rows, at = measured(R[:1], R[:1] + 1, lambda _: 0.5, unbounded)
    assert (rows["used"]["value"].tolist(), at, asked) == ([2], None, [])
    assert measured(R[:1], C[3:], lambda _: math.inf, unbounded)[1] is None
    integers = np.array([[1], [2]])
    assert measured(integers, integers + 1, lambda _: 0.0, unbounded)[1] is None
    assert asked == []


ROOT = FAR**0.5


@pytest.mark.parametrize(
    ("apart", "used", "open_"),
    [
        (1e150, 2, False), (ROOT * (1 - 1e-15), 2, False), (ROOT, 2, True), (1e160, 1.5, True),
        (1e160, 1 + 1e-15, True), (1e160, 1, False), (1e160, 0.5, False),
    ],
)  # fmt: skip
def test_it_is_asked_where_the_two_are_beyond_the_budget_and_far_apart(apart, used, open_):
    """Beyond it, and by no less than the root of the largest number."""
    unbounded, asked = asking()
    rows, at = measured(np.zeros((1, 1)), np.full((1, 1), apart), lambda _: apart / used, unbounded)
    assert (at, asked) == ((0, [[0]]) if open_ else (None, []))
    assert rows["used"]["value"][0] == (0 if open_ else pytest.approx(used))


def test_only_the_elements_that_differ_and_have_no_bound_are_left_out():
    unbounded, asked = asking()
    rows, at = measured(R, C, lambda steps: np.zeros((len(steps), 1)), unbounded)
    assert (at, asked) == (1, [[1, 2, 3]])
    assert rows["used"]["value"].tolist() == [0, 0, 0, 0]
    assert rows["beyond"].tolist() == [0, 0, 0, 0]
    plain = measure(R, C, 0.0)
    for name in ("absolute", "relative", "ulp", "rms", "nonfinite_reference", "nonfinite_candidate", "nonfinite_both"):
        assert rows[name].tobytes() == plain[name].tobytes()


def test_what_has_a_bound_beside_it_is_judged():
    which = np.zeros((3, 3), bool)
    which[:, 1] = True
    unbounded, _ = asking(which)
    candidate = C.copy()
    candidate[1, 0] += 3
    budgets = np.array([[4.0], [2.0], [1.0], [1.0]])
    rows, at = measured(R, candidate, lambda steps: budgets[steps], unbounded)
    assert at == 1
    assert rows["used"]["value"].tolist() == [0, 1.5, math.inf, FAR]
    assert (rows["used"]["index"][1], rows["beyond"].tolist()) == (0, [0, 1, 1, 1])


def test_told_is_the_first_step_that_has_such_an_element():
    which = np.zeros((3, 3), bool)
    which[1:, 2] = True
    rows, at = measured(R, C, lambda _: 0.0, asking(which)[0])
    assert (at, rows["used"]["value"].tolist()) == (2, [0, math.inf, 0, 0])


def test_where_all_that_differs_has_a_bound_nothing_changes():
    unbounded, asked = asking(of=False)
    rows, at = measured(R, C, lambda _: 0.0, unbounded)
    assert (at, asked) == (None, [[1, 2, 3]])
    assert rows.tobytes() == measure(R, C, 0.0).tobytes()

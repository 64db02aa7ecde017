"""What is left of a step whatever its factors are: nothing where only factors are missing, and all of anything else."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from parity.diagnosis.direction import FARTHEST, Fitting, _fitted
from parity.diagnosis.search import Search
from tests.parity.diagnosis.benches import bench

MOMENTUM = {"class_name": "SGD", "learning_rate": 0.05, "momentum": 0.9}
NESTEROV = MOMENTUM | {"nesterov": True}


def fits(level, planted, tried=(), **settings):
    on = bench(level, **settings)
    search = Search(on.stand_in, on.told(frozenset(planted.items())))
    return search.try_set(frozenset(tried))


@pytest.mark.parametrize("level", ["weights", "gradients"])
@pytest.mark.parametrize("optimizer", [None, MOMENTUM, NESTEROV])
@pytest.mark.parametrize(
    "factors",
    [
        {"loss.factor": "half", "l2.scale": "over_dataset"},
        {"learning_rate.scale": "double", "loss.batch": "sum", "l2.penalty": "half"},
        {"gradient.bias": "mean", "gradient.kernel": "mean", "l2.gradient": "absent"},
    ],
)
def test_factors_alone_leave_nothing_over(level, optimizer, factors):
    tried = fits(level, factors, **({"optimizer": optimizer} if optimizer else {}))
    fitted = {key: used for key, used in tried.fit.used.items() if key.phase in {"gradient", "update"}}
    of_weights = {key for key in fitted if key.tensor.endswith(("/kernel", "/bias"))}
    assert len(of_weights) == (4 if level == "weights" else 4 + 4 + 2 * 2)  # gradients whole, and two of them in parts
    assert all((fitted[key] <= 10).all() for key in of_weights)  # a budget is for factors of 1
    assert tried.score > 1
    assert tried.fit.factors > 0.1


def test_anything_else_is_left_over_until_it_is_found():
    planted = {"gradient.hidden_activation": "missing", "learning_rate.scale": "double", "loss.factor": "double"}
    without = fits("weights", planted)
    found = fits("weights", planted, [("gradient.hidden_activation", "missing")])
    left = [max(used.max() for used in evaluation.fit.used.values()) for evaluation in (without, found)]
    assert left[0] > 1e5 * left[1]
    nearer = fits("weights", planted, [("gradient.hidden_activation", "missing"), ("loss.factor", "double")])
    assert 0 < nearer.fit.factors < found.fit.factors


def test_a_fit_in_numbers():
    random = np.random.default_rng(0)
    data, penalty = random.normal(size=(2, 2, 5, 3))
    rest, apart = _fitted(100 * data, [data])
    assert rest.max() < 1e-12
    assert apart == pytest.approx(2)
    rest, apart = _fitted(data + 0.5 * penalty, [data, penalty])
    assert rest.max() < 1e-12
    assert 0 < apart < 1
    assert _fitted(data, [data, penalty])[1] < 1e-12
    assert _fitted(-data, [data])[1] == FARTHEST
    odd = data.copy()
    odd[1, 0, 0] += 1
    assert _fitted(odd, [data])[0].max() > 0.1


def test_what_is_no_number_is_left_over_whole():
    data = np.ones((2, 3))
    for odd in (np.nan, np.inf):
        made = data.copy()
        made[0, 0] = odd
        assert np.isinf(_fitted(made, [data])[0]).all()
        assert np.isinf(_fitted(data, [made])[0]).all()
    assert (_fitted(data, [np.zeros((2, 3))])[0] == 1).all()
    assert (_fitted(np.zeros((2, 3)), [np.zeros((2, 3))])[0] == 0).all()


def test_a_rest_where_nothing_may_be_left_is_infinite():
    on = bench("weights")
    evidence = on.told(frozenset([("data.labels", "shifted")]))
    taken = on.stand_in.take(evidence, {})
    none = [{key: np.zeros(len(array)) for key, array in of_piece.items()} for of_piece in taken]
    used = {key: np.zeros(evidence.steps) for key in evidence.keys}
    fit = Fitting(evidence, 0.0).fit(taken, none, used)
    assert all(np.isinf(of_key).any() for of_key in fit.used.values())


def test_a_step_that_overflows_fits_nothing():
    on = bench("weights")
    evidence = on.told(frozenset([("data.labels", "shifted")]))
    taken = [
        {key: np.full(array.shape, np.inf) for key, array in told.items()} for told in on.stand_in.take(evidence, {})
    ]
    unlimited = [{key: np.full(len(array), np.inf) for key, array in of_piece.items()} for of_piece in taken]
    used = {key: np.zeros(evidence.steps) for key in evidence.keys}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = Fitting(evidence, 0.0).fit(taken, unlimited, used)
    assert all(np.isinf(of_key).all() for of_key in fit.used.values())

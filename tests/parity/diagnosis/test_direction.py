"""What is left of a step whatever its factors are: nothing where only factors are missing, and all of anything else."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import replace

import numpy as np
import pytest

from parity.diagnosis.direction import FARTHEST, Fitting, _fitted
from parity.diagnosis.search import Search
from parity.diagnosis.used import Used
from parity.protocol import Key
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


def fitted(target, *parts):
    """Of one tensor of 2 steps."""
    rest, apart = _fitted(target.reshape(2, -1), [part.reshape(2, -1) for part in parts], [target[0].size])
    assert rest.shape == (1, 2)
    return rest[0], apart


def test_a_fit_in_numbers():
    random = np.random.default_rng(0)
    data, penalty = random.normal(size=(2, 2, 5, 3))
    rest, apart = fitted(100 * data, data)
    assert rest.max() < 1e-12
    assert apart == pytest.approx(2)
    rest, apart = fitted(data + 0.5 * penalty, data, penalty)
    assert rest.max() < 1e-12
    assert 0 < apart < 1
    assert fitted(data, data, penalty)[1] < 1e-12
    assert fitted(-data, data)[1] == FARTHEST
    odd = data.copy()
    odd[1, 0, 0] += 1
    assert fitted(odd, data)[0].max() > 0.1


def test_a_fit_is_the_best_there_is_of_each_tensor():
    """NumPy's least squares is the oracle, tensor by tensor."""
    random = np.random.default_rng(1)
    sizes, count = [3, 2, 6, 4], 3
    parts = random.normal(size=(count, 2, sum(sizes)))
    parts[2, :, 5:11] = 0  # a tensor that has one part less
    target = random.normal(size=(2, sum(sizes)))
    rest, apart = _fitted(target, list(parts), sizes)
    expected, off = [], 0.0
    for begin, end in itertools.pairwise([0, *np.cumsum(sizes)]):
        columns, made = parts[:, :, begin:end].reshape(count, -1).T, target[:, begin:end]
        solved = np.linalg.lstsq(columns, made.ravel(), rcond=None)[0]
        expected.append(np.abs(made.ravel() - columns @ solved).reshape(2, -1).max(axis=1))
        off += min(abs(np.log10(solved[0])), FARTHEST) if solved[0] > 0 else FARTHEST
        lengths = np.linalg.norm(columns, axis=0)[1:]
        off += min((np.abs(solved[1:]) * lengths).sum() / np.linalg.norm(made), FARTHEST)
    np.testing.assert_allclose(rest, expected, atol=1e-12)
    assert apart == pytest.approx(off)


def test_a_part_that_depends_on_another_takes_nothing():
    data = np.random.default_rng(2).normal(size=(2, 5))
    rest, apart = fitted(3 * data, data, 2 * data)
    assert rest.max() < 1e-12
    assert apart == pytest.approx(np.log10(3))


def test_tensors_beside_each_other_are_fitted_as_each_is_alone():
    random = np.random.default_rng(3)
    target, *parts = random.normal(size=(3, 2, 7))
    parts[0][:, 5:] = 0
    both, apart = _fitted(target, parts, [4, 3])
    one, first = _fitted(target[:, :4], [part[:, :4] for part in parts], [4])
    other, second = _fitted(target[:, 4:], [part[:, 4:] for part in parts], [3])
    np.testing.assert_array_equal(both, np.concatenate([one, other]))
    assert apart == pytest.approx(first + second)


def test_what_is_no_number_is_left_over_whole():
    data = np.ones((2, 3))
    for odd in (np.nan, np.inf):
        made = data.copy()
        made[0, 0] = odd
        assert np.isinf(fitted(made, data)[0]).all()
        assert np.isinf(fitted(data, made)[0]).all()
    assert (fitted(data, np.zeros((2, 3)))[0] == 1).all()
    nothing = fitted(np.zeros((2, 3)), np.zeros((2, 3)))
    assert (nothing[0] == 0).all()
    assert nothing[1] == 0


def test_a_rest_where_nothing_may_be_left_is_infinite():
    on = bench("weights")
    evidence = on.told(frozenset([("data.labels", "shifted")]))
    taken = on.stand_in.take(evidence, {})
    none = [{key: np.zeros(len(array)) for key, array in of_piece.items()} for of_piece in taken]
    used = Used(evidence.keys, np.zeros((len(evidence.keys), evidence.steps)))
    fit = Fitting(evidence, 0.0).fit(taken, none, used)
    assert all(np.isinf(of_key).any() for of_key in fit.used.values())


def test_a_step_that_overflows_fits_nothing():
    on = bench("weights")
    evidence = on.told(frozenset([("data.labels", "shifted")]))
    taken = [
        {key: np.full(array.shape, np.inf) for key, array in told.items()} for told in on.stand_in.take(evidence, {})
    ]
    unlimited = [{key: np.full(len(array), np.inf) for key, array in of_piece.items()} for of_piece in taken]
    used = Used(evidence.keys, np.zeros((len(evidence.keys), evidence.steps)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = Fitting(evidence, 0.0).fit(taken, unlimited, used)
    assert all(np.isinf(of_key).all() for of_key in fit.used.values())


@pytest.mark.filterwarnings("error")
def test_what_was_infinite_before_its_step_fits_nothing():
    on = bench("weights")
    evidence = on.told(frozenset([("data.labels", "shifted")]))
    (piece, *_), key = evidence.pieces, Key("update", "dense/kernel")
    infinite = {key: np.full_like(piece.arrays[key], np.inf)}
    taken = [{**on.stand_in.take(evidence, {})[0], **infinite}]
    evidence = replace(evidence, pieces=(replace(piece, arrays={**piece.arrays, **infinite}),))
    budgets = [{key: np.ones(len(array)) for key, array in of_piece.items()} for of_piece in taken]
    used = Used(evidence.keys, np.zeros((len(evidence.keys), evidence.steps)))
    fit = Fitting(evidence, 0.0).fit(taken, budgets, used)
    assert np.isinf(fit.used[key]).all()
    assert np.isfinite(fit.used[Key("update", "dense/bias")]).all()

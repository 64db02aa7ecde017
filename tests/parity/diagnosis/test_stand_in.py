"""Budgets of a repeated step: rounding of any kind stays well inside, and what is no rounding does not."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from parity.asking import replay, start_side
from parity.diagnosis.search import Search
from parity.diagnosis.stand_in import MARGIN, MEMBERS, SIZE, largest
from parity.diagnosis.used import apart
from parity.protocol import Key
from parity.selftest.experiments import likely_experiment
from parity.sides import LoadedSide
from scratch_net.conventions import rounding
from tests.parity.diagnosis.benches import TABLE, InPrecision, bench

NONE = frozenset()

# Other ways to the same numbers: random errors in every operation, and sums over examples taken one by one.
NULLS = ({"rounding.seed": "7"}, {"rounding.seed": "8"}, {"gradient.engine": "per_example"})


def likely(seed):
    return likely_experiment(np.random.default_rng(seed))


def bounded(experiment):
    """Whether a step magnifies rounding within limits: `y / q` of an output q that no softmax made has none."""
    of_probabilities = experiment.loss.class_name.endswith("Crossentropy")
    return not of_probabilities or experiment.layers[-1].activation in {"softmax", "sigmoid"}


EXPERIMENTS = [seed for seed in range(40) if bounded(likely(seed))]
UNBOUNDED = [seed for seed in range(40) if not bounded(likely(seed))]


def made(seed, dtype):
    return InPrecision(likely(seed), dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_null_runs_use_a_fraction_of_the_margin(dtype):
    """Less than half, in every tensor of every step; and of MARGIN's sixteen more than one, or there were no errors."""
    worst = []
    for seed in EXPERIMENTS:
        on = made(seed, dtype)
        worst += [Search(on.stand_in, on.told(choices)).prove(NONE).worst for choices in NULLS]
    assert max(worst) < 0.5
    assert max(worst) > 1 / MARGIN


LARGE = {
    "data": {"source": "classification", "samples": 10_000, "features": 5, "classes": 10, "one_hot": 10},
    "batch_size": "full",
    "steps": 3,
    "loss": "mse",
}


def large(dtype, **layer):
    """10,000 examples in a batch; with weights that are zero, each has the same outputs."""
    layers = [{"units": units, "activation": "sigmoid", **layer} for units in (4, 10)]
    return InPrecision(bench(**LARGE, layers=layers).experiment, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("initializer", ["zeros", "glorot_uniform"])
def test_sums_of_equal_terms_one_by_one_use_a_fraction(dtype, initializer):
    """Their errors do not cancel: added up one after another, equal numbers are rounded alike each time."""
    on = large(dtype, kernel_initializer=initializer)
    told = on.told({"gradient.engine": "per_example"}, "weights")
    assert Search(on.stand_in, told).prove(NONE).worst < 0.5


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_terms_that_differ_cancel_as_before(dtype, monkeypatch):
    """Once the weights have left zero, budgets are those of errors that are independent, to within four."""
    on = large(dtype, kernel_initializer="glorot_uniform")
    evidence = on.told({})
    found = on.stand_in.budgets(evidence, {})
    monkeypatch.setattr(rounding, "MANY", 10**9)
    for one, other in zip(found, on.stand_in.budgets(evidence, {}), strict=True):
        for key in one:
            np.testing.assert_array_less(one[key], 4 * other[key] + 1e-300, err_msg=str(key))


def test_members_may_share_products():
    """What each would make by itself: to the last bit in the first layer's outputs, nearly in size of errors."""
    on = large("float64", kernel_initializer="zeros")
    pieces = on.told({}).pieces
    together = on.side.side.with_roundings(2, SIZE)
    for seed, member in enumerate(together):
        alone = on.side.side.with_conventions({"rounding.seed": str(seed), "rounding.size": str(SIZE)})
        made = []
        for side in (LoadedSide("scratch", member), LoadedSide("scratch", alone)):
            start_side(side, on.experiment, on.weights)
            retraced = (replay(on.experiment, side, piece, "retrace") for piece in pieces)
            made.append([{key: array.copy() for key, array in told.items()} for told in retraced])
        kernel = Key("gradient", "dense/kernel")
        for step, (shared, own) in enumerate(zip(*made, strict=True)):
            np.testing.assert_array_equal(shared[Key("forward", "dense/output")], own[Key("forward", "dense/output")])
            plain = pieces[step].arrays[kernel]
            off = np.abs(own[kernel] - plain).max()
            assert np.abs(shared[kernel] - plain).max() >= 0.9 * off
        assert np.abs(shared[kernel] - own[kernel]).max() <= 0.1 * off  # of equal terms there are none by the last step


def test_budgets_grow_with_the_members():
    on = bench()
    evidence = on.told(NONE)
    budgets = list(on.stand_in.growing_budgets(evidence, {}))
    assert len(budgets) == MEMBERS
    for fewer, more in pairwise(budgets):
        for one, other in zip(fewer, more, strict=True):
            assert all((one[key] <= other[key]).all() for key in one)


@pytest.mark.parametrize("choices", [{}, {"l2.penalty": "half"}, {"rounding.seed": "7"}])
def test_what_holds_is_what_is_proved(choices):
    on = bench()
    search = Search(on.stand_in, on.told(choices))
    for tried in (NONE, frozenset({("l2.penalty", "half")}), frozenset({("loss.factor", "half")})):
        assert search.holds(tried) == search.prove(tried).explains


def test_equal_steps_need_no_budget(monkeypatch):
    """Nothing differs, so that nothing of any budget is used; any difference is held against one."""
    on = bench()
    half = frozenset({("l2.penalty", "half")})
    search = Search(on.stand_in, on.told(half))
    assert not search.prove(NONE).explains
    monkeypatch.setattr(on.stand_in, "growing_budgets", None)
    assert search.prove(half).worst == 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_where_rounding_has_no_limit_the_same_numbers_are_proof(dtype):
    assert len(UNBOUNDED) > 5
    for seed in UNBOUNDED:
        on = made(seed, dtype)
        assert Search(on.stand_in, on.told({})).prove(NONE).explains, seed


def test_a_relative_error_of_1e_9_in_one_element_is_seen():
    """In whatever tensor and step it is: in its largest element, in float64."""
    planted = 0
    for seed in EXPERIMENTS:
        on = made(seed, "float64")
        evidence = on.told({})
        taken, budgets = on.stand_in.take(evidence, {}), on.stand_in.budgets(evidence, {})
        for piece, arrays in enumerate(evidence.told):
            for key, array in arrays.items():
                if array.dtype.kind != "f" or key.phase in {"batch", "metrics"}:
                    continue
                for step in range(len(array)):
                    other = array.copy()
                    largest = np.unravel_index(np.abs(other[step]).argmax(), other[step].shape)
                    other[(step, *largest)] *= 1 + 1e-9
                    if other[(step, *largest)] == array[(step, *largest)]:
                        continue  # a zero
                    used = apart([{key: other}], [taken[piece]], [budgets[piece]], [key])[key]
                    assert (used > 1).tolist() == [at == step for at in range(len(array))], (seed, key, step)
                    planted += 1
    assert planted > 100 * len(EXPERIMENTS)


def test_a_metric_that_rounding_tips_is_tipped_whole():
    """Outputs of zero weights are as large as one another: which is the largest is rounding's to say."""
    on = bench(
        layers=[{"units": 3, "activation": "softmax", "kernel_initializer": "zeros"}],
        metrics=["accuracy"],
        optimizer={"class_name": "SGD", "learning_rate": 1e-30},
    )
    evidence = on.told_by(on.side.side.with_conventions({"rounding.seed": "7"}))
    search = Search(on.stand_in, evidence)
    clean = on.told(NONE)
    accuracy = Key("metrics", "accuracy")
    assert any((one[accuracy] != other[accuracy]).any() for one, other in zip(evidence.told, clean.told, strict=True))
    assert search.prove(NONE).explains


def test_a_metric_that_rounding_does_not_tip_has_no_more_than_rounding():
    on = bench(metrics=["accuracy"])
    budgets = on.stand_in.budgets(on.told(NONE), {})
    assert max(budget[Key("metrics", "accuracy")].max() for budget in budgets) <= MARGIN * 2.0**-53


def test_no_step_s_drift_counts_for_less_than_the_least_but_one():
    """Of six. Where a tensor has one element, the members of one step can all be close to it by chance."""
    on = bench()
    evidence = on.told(NONE)
    taken, budgets = on.stand_in.take(evidence, {}), on.stand_in.budgets(evidence, {})
    for key in (Key("loss", "loss"), Key("gradient", "dense/bias"), Key("update", "dense_1/bias")):
        sizes = [np.abs(told[key]).reshape(len(told[key]), -1).max(axis=1) for told in taken]
        drift = np.concatenate([budget[key] for budget in budgets]) / (MARGIN * 2.0**-53) - np.concatenate(sizes)
        least = drift <= drift.min() * (1 + 1e-6)  # the budget has rounded it
        assert least.sum() >= 2, key


def test_a_step_that_magnifies_rounding_does_not_hide_one_that_does_not():
    """In the second the derivative of the cross-entropy is a hundred times what it is in the first."""
    on = bench(
        "weights",
        data={"source": "classification", "samples": 23, "features": 10, "classes": 2, "seed": 824},
        layers=[
            {"units": 5, "activation": "relu", "kernel_initializer": "he_normal"},
            {
                "units": 1,
                "activation": "relu",
                "kernel_initializer": "he_normal",
                "bias_initializer": "ones",
                "kernel_regularizer": {"l2": 0.001},
            },
        ],
        loss="BinaryCrossentropy",
        batch_size=9,
        steps=5,
        seed=802959268,
    )
    evidence = on.told({"l2.constant": "exact"}).first(2)
    taken = on.stand_in.take(evidence, {})
    gradient = np.concatenate([np.abs(told[Key("gradient", "dense_1/bias")]) for told in taken])[:, 0]
    assert gradient[1] > 50 * gradient[0]
    assert not Search(on.stand_in, evidence).prove(NONE).explains


def test_what_stands_beside_a_nan_has_the_size_and_the_drift_that_it_has_alone():
    beside = np.array([[[1.0, np.nan], [-3.0, 2.0]], [[np.nan, np.nan], [np.nan, np.nan]], [[0.5, 1.0], [-2.0, 0.0]]])
    assert largest(beside).tolist() == [3.0, 0.0, 2.0]
    assert np.isinf(largest(np.array([[np.inf, np.nan]]))).all()
    layers = [{"units": 9, "activation": "tanh"}, {"units": 3, "activation": "softmax"}]
    layers[1]["kernel_initializer"] = {"class_name": "RandomNormal", "stddev": 300.0, "seed": 3}
    on, choices = bench(layers=layers), {"forward.softmax": "unshifted"}
    evidence = on.told(choices).first(1)
    (told,), (budgets,) = on.stand_in.take(evidence, choices), on.stand_in.budgets(evidence, choices)
    output = Key("forward", "dense_1/output")
    assert np.isnan(told[output]).any()
    assert np.isfinite(told[output]).any()
    assert 0 < budgets[output][0] < 1e-9


def test_budgets_are_of_the_precision_that_is_computed_in():
    """In proportion to its unit roundoff: 2**-24 to 2**-53."""
    on = bench()
    evidence = on.told(NONE)
    key = Key("gradient", "dense/kernel")
    wide, narrow, told_wide = (
        on.stand_in.budgets(given, choices)[0][key]
        for given, choices in (
            (evidence, {}),
            (replace(evidence, dtype="float32"), {}),
            (evidence, {"precision.compute": "float32"}),
        )
    )
    assert narrow == pytest.approx(2**29 * wide)
    assert told_wide == pytest.approx(2**29 * wide)


def test_steps_are_taken_from_where_the_candidate_s_began():
    """A candidate that went astray at step 2 is not far off at step 3, if it takes that step as it should."""
    on = bench()
    evidence = on.told(NONE)
    piece = evidence.pieces[0]
    kernel = Key("update", "dense/kernel")
    piece.arrays[kernel][1] += 0.5
    found = Search(on.stand_in, evidence).prove(NONE).used
    over = {key: (used > 1).tolist() for key, used in found.items()}
    assert over[kernel][1]
    assert not over[kernel][0]
    # What step 3 was told to begin with is the moved weight, what was recorded of it is not: that is seen as well.
    assert over[Key("forward", "dense/pre_activation")][:3] == [False, False, True]
    assert TABLE["steps"] == len(over[kernel])
    assert all(one.first_step < other.first_step for one, other in pairwise(evidence.pieces))

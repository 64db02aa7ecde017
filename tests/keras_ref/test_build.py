"""The built model carries the experiment's names, initial weights and precision. The oracle is Keras' own naming."""

from __future__ import annotations

import numpy as np
import pytest

from keras_ref.adapter import KerasSide
from keras_ref.build import build, named_slots, named_weights
from keras_ref.runtime import keras
from parity.config import Experiment
from scratch_net import adapter as scratch

COUNTERS = ["optimizer/iterations", "optimizer/learning_rate"]

# optimizer -> the slots Keras keeps for each weight; that ours has the same is a law (tests/suite/laws/optimizers.py)
SLOTS = {
    "SGD nesterov": ({"class_name": "SGD", "momentum": 0.5, "nesterov": True}, ["momentum"]),
    "Adam amsgrad": ({"class_name": "Adam", "amsgrad": True}, ["momentum", "velocity", "velocity_hat"]),
    "RMSprop both": (
        {"class_name": "RMSprop", "momentum": 0.5, "centered": True},
        ["velocity", "momentum", "average_gradient"],
    ),
}


def _experiment(**settings):
    return Experiment.model_validate(
        {
            "data": {"source": "regression", "features": 5, "samples": 8},
            "layers": [{"units": 3, "activation": "tanh"}, {"units": 1, "name": "out_put"}],
            "loss": "mse",
            "optimizer": "SGD",
            "seed": 11,
            **settings,
        }
    )


@pytest.mark.parametrize("optimizer", SLOTS)
def test_weights_and_slots_are_named_as_the_vocabulary_says(optimizer):
    config, slots = SLOTS[optimizer]
    model = build(_experiment(optimizer=config), 5, "float32")
    weights = ["dense/kernel", "dense/bias", "out_put/kernel", "out_put/bias"]
    assert list(named_weights(model)) == weights
    named = named_slots(model)
    assert len(named) == len(model.optimizer.variables)
    assert sorted(named) == sorted([*COUNTERS, *(f"{weight}/{slot}" for weight in weights for slot in slots)])
    for name, slot in named.items():
        if name not in COUNTERS:
            weight = named_weights(model)[name.rpartition("/")[0]]
            assert slot.shape == weight.shape
            assert slot.path.startswith(f"{model.optimizer.name}/{weight.path.replace('/', '_')}")  # Keras' own name


def test_layer_names_that_start_alike_are_told_apart():
    """Keras writes `a` and `a_kernel`'s slots as `a_kernel_momentum` and `a_kernel_kernel_momentum`."""
    layers = [{"units": 2, "name": "a"}, {"units": 3, "name": "a_kernel"}, {"units": 1, "name": "a_kernel_kernel"}]
    model = build(_experiment(layers=layers, optimizer={"class_name": "SGD", "momentum": 0.5}), 5, "float32")
    slots = named_slots(model)
    for name, weight in named_weights(model).items():
        assert slots[f"{name}/momentum"].shape == weight.shape


@pytest.mark.parametrize("name", ["inputs", "inputs_dense", "reference", "optimizer"])
def test_a_layer_may_be_called_what_the_model_is_made_of(name):
    experiment = _experiment(layers=[{"units": 2, "name": name}, {"units": 1, "name": "dense"}])
    assert list(named_weights(build(experiment, 5, "float64")))[:2] == [f"{name}/kernel", f"{name}/bias"]


def test_one_process_holds_both_precisions():
    """float64, float32, float64 again: the right dtypes everywhere, and the same numbers as the first time."""
    experiment = _experiment(
        optimizer={"class_name": "Adam"}, layers=[{"units": 3, "activation": "tanh"}, {"units": 1}]
    )
    random = np.random.default_rng(0)
    x, y = random.standard_normal((2, 4, 5)), random.standard_normal((2, 4, 1))
    weights = KerasSide().initial_weights(experiment, 5, "float64")
    runs = []
    for precision in ("float64", "float32", "float64"):
        side = KerasSide()
        side.start(experiment, {name: w.astype(precision) for name, w in weights.items()})
        said = side.steps(x.astype(precision), y.astype(precision))
        model = side.capture.model
        floating = [str(variable.dtype) for variable in model.variables if "float" in str(variable.dtype)]
        assert set(floating) == {precision}
        assert model.optimizer.learning_rate.dtype == precision
        assert said["loss"].dtype == said["output"]["dense"].dtype == precision
        runs.append({name: array.copy() for name, array in said["weights"].items()})
    for name, array in runs[0].items():
        assert array.tobytes() == runs[2][name].tobytes()
        np.testing.assert_allclose(runs[1][name], array, rtol=1e-3, atol=1e-5)
        assert (runs[1][name] != array).any()


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_initial_weights_are_drawn_once_and_stay_what_they_were(optimizer):
    """Whatever was trained since, and whatever became of the arrays: they are those of a model made anew."""
    experiment = _experiment(optimizer={"class_name": optimizer}, metrics=["accuracy"])
    side, anew = KerasSide(), build(experiment, 5, "float64")
    weights = side.initial_weights(experiment, 5, "float64")
    side.start(experiment, {name: np.full_like(array, 9) for name, array in weights.items()})
    side.step(np.ones((2, 5)), np.ones((2, 1)))
    for array in weights.values():
        array[...] = 9
    again = side.initial_weights(experiment, 5, "float64")
    assert {name: array.tolist() for name, array in again.items()} == {
        name: np.array(variable).tolist() for name, variable in named_weights(anew).items()
    }
    assert {array.dtype.name for array in side.initial_weights(experiment, 5, "float32").values()} == {"float32"}


def test_a_regularized_float64_model_uses_lambda_rounded_to_float32():
    """A fact about Keras the scratch network copies: should it change, this fails first."""
    build(_experiment(), 5, "float64")
    w = keras.ops.ones((3,), "float64")
    assert float(keras.regularizers.L2(0.01)(w)) == 3 * np.float64(np.float32(0.01))


def _penalty(side, experiment, weights, x, y):
    side.start(experiment, weights)
    return side.step(x, y)["loss/penalty"]


def test_keras_can_be_told_half_the_penalty():
    layers = [{"units": 3, "kernel_regularizer": {"l2": 0.5}, "bias_regularizer": {"l1": 0.25}}, {"units": 1}]
    experiment = _experiment(layers=layers)
    weights = {name: np.ones_like(w) for name, w in scratch.initial_weights(experiment, 5, "float64").items()}
    x, y = np.ones((2, 5)), np.ones((2, 1))
    whole, half = KerasSide(), KerasSide().with_conventions({"l2.penalty": "half"})
    assert half.choices == {"l2.penalty": "half"}
    assert whole.choices == {}
    assert _penalty(whole, experiment, weights, x, y) == 0.5 * 15 + 0.25 * 3
    assert _penalty(half, experiment, weights, x, y) == 0.5 / 2 * 15 + 0.25 * 3
    assert _penalty(KerasSide({"l2.penalty": "whole"}), experiment, weights, x, y) == 0.5 * 15 + 0.25 * 3
    assert experiment.layers[0].kernel_regularizer.l2 == 0.5  # the experiment itself is left alone


@pytest.mark.parametrize("choices", [{"l2.penalty": "third"}, {"no.such": "half"}])
def test_a_choice_that_keras_has_not_raises_and_names_those_it_has(choices):
    with pytest.raises(ValueError, match=r"l2\.penalty=half"):
        KerasSide(choices)


def test_start_comes_before_step():
    with pytest.raises(RuntimeError, match="start comes first"):
        KerasSide().weights()

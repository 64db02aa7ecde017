"""Models are used again by sides that come later, and nobody can tell."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from keras_ref import adapter
from keras_ref.adapter import KEPT, KerasSide
from parity.config import Experiment

EXPERIMENT = Experiment.model_validate(
    {
        "data": {"source": "regression", "samples": 12, "features": 3, "targets": 2},
        "layers": [{"units": 4, "activation": "tanh", "kernel_regularizer": {"l2": 0.01}}, {"units": 2}],
        "loss": "mse",
        "optimizer": {"class_name": "Adam", "learning_rate": 0.01},
        "metrics": ["accuracy"],
        "batch_size": 4,
        "steps": 3,
        "seed": 5,
    }
)
X = np.random.default_rng(0).standard_normal((3, 4, 3))
Y = np.random.default_rng(1).standard_normal((3, 4, 2))


@pytest.fixture(autouse=True)
def none_idle(runtime):
    gc.collect()
    adapter._idle.clear()


def started(experiment=EXPERIMENT, precision="float64", choices=None):
    side = KerasSide(choices)
    side.start(experiment, side.initial_weights(experiment, 3, precision))
    return side


def flat(said):
    for word, value in said.items():
        yield from value.items() if isinstance(value, dict) else [(word, value)]


def run(side):
    """Initial weights and slots, and what three steps said, copied."""
    begins = {**side.weights(), **side.initial_state()}
    return [(name, np.array(array)) for name, array in (*begins.items(), *flat(side.steps(X, Y)))]


def test_the_next_side_has_the_model_of_one_that_is_gone_and_begins_afresh():
    side = started()
    model, said = side.capture.model, run(side)
    del side
    gc.collect()
    side = started()
    assert side.capture.model is model
    again = run(side)
    assert [name for name, _ in said] == [name for name, _ in again]
    for (name, one), (_, other) in zip(said, again, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=name)


def test_sides_at_once_have_models_of_their_own():
    started()  # there is one idle
    one, other = started(), started()
    assert one.capture.model is not other.capture.model
    run(one)
    np.testing.assert_array_equal(other.weights()["dense/kernel"], started().weights()["dense/kernel"])


OTHERS = {
    "seed": {"seed": 6},
    "loss": {"loss": "sse"},
    "optimizer": {"optimizer": {"class_name": "Adam", "learning_rate": 0.02}},
    "metrics": {"metrics": []},
    "layers": {"layers": [{"units": 4, "activation": "relu"}, {"units": 2}]},
}


@pytest.mark.parametrize("name", OTHERS)
def test_of_another_experiment_there_is_another_model(name):
    model = started().capture.model
    other = Experiment.model_validate(EXPERIMENT.model_dump() | OTHERS[name])
    assert started(other).capture.model is not model
    assert started(EXPERIMENT.model_copy(update={"steps": 2})).capture.model is model


def test_so_it_is_of_another_precision_a_choice_and_an_epsilon_of_keras(keras):
    model, epsilon = started().capture.model, keras.config.epsilon()
    assert started(precision="float32").capture.model is not model
    assert started(choices={"l2.penalty": "half"}).capture.model is not model
    keras.config.set_epsilon(1e-3)
    try:
        assert started().capture.model is not model
    finally:
        keras.config.set_epsilon(epsilon)


def test_few_are_kept():
    for seed in range(KEPT + 2):
        started(EXPERIMENT.model_copy(update={"seed": seed}))
    gc.collect()
    assert [made.of[4] for made in adapter._idle.values()] == list(range(2, KEPT + 2))


def test_large_ones_are_not_kept(monkeypatch):
    monkeypatch.setattr(adapter, "LARGEST", 25)  # of 3 * 4 + 4 and 4 * 2 + 2
    started()
    gc.collect()
    assert not adapter._idle
    monkeypatch.setattr(adapter, "LARGEST", 26)
    started()
    gc.collect()
    assert len(adapter._idle) == 1

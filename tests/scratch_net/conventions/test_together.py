"""Every choice goes together with every other, in steps and in replays, and says numbers of the run's precision."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from parity.config import validate
from parity.protocol import Key, Records, keyed
from scratch_net import conventions
from scratch_net.adapter import ScratchSide, initial_weights
from scratch_net.conventions import crossentropy, loss, regularization

CHOICES = [(code, choice) for code, choices in conventions.CHOICES.items() for choice in choices]
STEPS, BATCH, INPUTS = 2, 3, 2


def experiment(loss, last, optimizer):
    penalty = {"l1": 0.01, "l2": 0.1}
    return validate(
        {
            "data": {"source": "regression", "features": INPUTS, "scale": 2},
            "layers": [
                {"units": 2, "activation": "relu", "kernel_regularizer": penalty, "activity_regularizer": "l2"},
                {"units": 2, "activation": last, "kernel_regularizer": "l2", "bias_regularizer": "l2"},
            ],
            "loss": loss,
            "optimizer": optimizer,
            "metrics": ["accuracy"],
            "batch_size": BATCH,
            "examples": 12,
        }
    )


EXPERIMENTS = {
    "squares": experiment("mse", "sigmoid", {"class_name": "SGD", "momentum": 0.9, "nesterov": True}),
    "classes": experiment({"class_name": "CategoricalCrossentropy", "label_smoothing": 0.1}, "softmax", "adam"),
    "labels": experiment("SparseCategoricalCrossentropy", "sigmoid", "rmsprop"),
}


def steps(of, choices, dtype):
    side, random = ScratchSide(choices), np.random.default_rng(1)
    weights = initial_weights(of, INPUTS, dtype)
    side.start(of, weights)
    before = {Key("update", name): array for name, array in (weights | side.initial_state()).items()}
    labels = random.integers(0, 2, (STEPS, BATCH))
    y = labels.astype(np.int32) if of.loss.class_name.startswith("Sparse") else np.eye(2, dtype=dtype)[labels]
    said = side.steps(random.standard_normal((STEPS, BATCH, INPUTS)).astype(dtype), y)
    return side, keyed(said, "dense_1", STEPS), before


def _pairs():
    return [(one, other) for one, other in itertools.combinations(CHOICES, 2) if one[0] != other[0]]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_pair(name):
    for pair in _pairs():
        side, arrays, before = steps(EXPERIMENTS[name], dict(pair), "float64")
        replayed = side.replay(Records(1, arrays, before))
        assert keyed(replayed, "dense_1", STEPS), pair


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize("choice", CHOICES, ids="=".join)
def test_the_precision_stays(choice, name):
    _, arrays, _ = steps(EXPERIMENTS[name], dict([choice]), "float32")
    wide = [str(key) for key, array in arrays.items() if array.dtype == np.float64]
    assert wide == []


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_order_in_which_choices_are_asked_for_is_nothing(name):
    random = np.random.default_rng(2)
    codes = list(conventions.CHOICES)
    for _ in range(10):
        of = [(code, str(random.choice(list(conventions.CHOICES[code])))) for code in random.permutation(codes)[:8]]
        (_, one, _), (_, other, _) = (steps(EXPERIMENTS[name], dict(order), "float64") for order in (of, of[::-1]))
        assert one.keys() == other.keys()
        for key, array in one.items():
            np.testing.assert_array_equal(array, other[key], err_msg=f"{key} of {of}")


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize("family", [crossentropy, loss, regularization], ids=lambda family: family.__name__)
def test_what_a_step_shows_its_replay_shows(family, name):
    """The choices that are made within one operation are seen when that operation alone is given Keras' inputs."""
    of = EXPERIMENTS[name]
    keras, arrays, before = steps(of, {}, "float64")
    records = Records(1, {key: array.copy() for key, array in arrays.items()}, before)
    replayed = keyed(keras.replay(records), "dense_1", STEPS)
    for code, choices in family.CHOICES.items():
        for choice in choices:
            side, run, _ = steps(of, {code: choice}, "float64")
            again = keyed(side.replay(records), "dense_1", STEPS)
            assert _differ(again, replayed) == _differ(run, records.arrays), (code, choice)


def _differ(one, other):
    return one.keys() != other.keys() or any(not np.array_equal(one[k], other[k], equal_nan=True) for k in one)

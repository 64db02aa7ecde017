"""Every choice goes together with every other, in steps and in replays, and says numbers of the run's precision."""

from __future__ import annotations

import itertools
from functools import cache

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


@cache
def drawn(name, dtype):
    return initial_weights(EXPERIMENTS[name], INPUTS, dtype)


def steps(name, choices, dtype):
    of, side, random = EXPERIMENTS[name], ScratchSide(choices), np.random.default_rng(1)
    weights = drawn(name, dtype)
    side.start(of, weights)
    before = {Key("update", name): array for name, array in (weights | side.initial_state()).items()}
    labels = random.integers(0, 2, (STEPS, BATCH))
    y = labels.astype(np.int32) if of.loss.class_name.startswith("Sparse") else np.eye(2, dtype=dtype)[labels]
    said = side.steps(random.standard_normal((STEPS, BATCH, INPUTS)).astype(dtype), y)
    return side, keyed(said, "dense_1", STEPS), before


@pytest.fixture(scope="module")
def acting():
    """Network -> the choices to pair in it: all but those that change another of these networks and not this one."""
    changed = {}
    for name in EXPERIMENTS:
        _, unchanged, _ = steps(name, {}, "float64")
        changed[name] = {one for one in CHOICES if _differ(steps(name, dict([one]), "float64")[1], unchanged)}
    nowhere = set(CHOICES).difference(*changed.values())
    return {name: [one for one in CHOICES if one in here | nowhere] for name, here in changed.items()}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_pair(name, acting):
    for one, other in itertools.combinations(acting[name], 2):
        if one[0] != other[0]:
            side, arrays, before = steps(name, dict([one, other]), "float64")
            replayed = side.replay(Records(1, arrays, before))
            assert keyed(replayed, "dense_1", STEPS), (one, other)


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize("choice", CHOICES, ids="=".join)
def test_the_precision_stays(choice, name):
    _, arrays, _ = steps(name, dict([choice]), "float32")
    wide = [str(key) for key, array in arrays.items() if array.dtype == np.float64]
    assert wide == []


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_order_in_which_choices_are_asked_for_is_nothing(name):
    random = np.random.default_rng(2)
    codes = list(dict(CHOICES))  # of some there are numbers alone
    for _ in range(10):
        of = [(code, str(random.choice(list(conventions.CHOICES[code])))) for code in random.permutation(codes)[:8]]
        (_, one, _), (_, other, _) = (steps(name, dict(order), "float64") for order in (of, of[::-1]))
        assert one.keys() == other.keys()
        for key, array in one.items():
            np.testing.assert_array_equal(array, other[key], err_msg=f"{key} of {of}")


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize("family", [crossentropy, loss, regularization], ids=lambda family: family.__name__)
def test_what_a_step_shows_its_replay_shows(family, name):
    """The choices that are made within one operation are seen when that operation alone is given Keras' inputs."""
    keras, arrays, before = steps(name, {}, "float64")
    records = Records(1, {key: array.copy() for key, array in arrays.items()}, before)
    replayed = keyed(keras.replay(records), "dense_1", STEPS)
    for code, choices in family.CHOICES.items():
        for choice in choices:
            side, run, _ = steps(name, {code: choice}, "float64")
            again = keyed(side.replay(records), "dense_1", STEPS)
            assert _differ(again, replayed) == _differ(run, records.arrays), (code, choice)


def _differ(one, other):
    return one.keys() != other.keys() or any(not np.array_equal(one[k], other[k], equal_nan=True) for k in one)

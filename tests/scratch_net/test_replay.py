"""Replaying: a stack of steps at once gives the bits that one step after the other gives."""

from __future__ import annotations

import numpy as np
import pytest

from parity.config import validate
from parity.protocol import Key, Records, keyed
from scratch_net import conventions, optimizers
from scratch_net.adapter import ScratchSide, initial_weights
from scratch_net.losses import LOSSES
from scratch_net.optimizers import OPTIMIZERS

STEPS, BATCH, INPUTS, OUTPUTS = 5, 6, 4, 3
CHOICES = [{code: choice} for code, choices in conventions.CHOICES.items() for choice in choices]
VARIANTS = [
    *({"optimizer": name} for name in OPTIMIZERS),
    {"optimizer": {"class_name": "SGD", "learning_rate": 0.1, "momentum": 0.9, "nesterov": True}},
    {"optimizer": {"class_name": "Adam", "amsgrad": True}},
    {"optimizer": {"class_name": "RMSprop", "momentum": 0.5, "centered": True}},
    *({"loss": name} for name in LOSSES),
]


def experiment(loss="mse", optimizer="sgd"):
    return validate(
        {
            "data": {"source": "regression", "features": INPUTS},
            "layers": [
                {"units": 5, "activation": "relu", "kernel_regularizer": {"l1": 0.01, "l2": 0.1}},
                {"units": 4, "activation": "tanh", "bias_regularizer": "l2", "activity_regularizer": {"l2": 0.1}},
                {"units": OUTPUTS, "activation": "softmax", "kernel_regularizer": "l2"},
            ],
            "loss": loss,
            "optimizer": optimizer,
            "metrics": ["accuracy"],
            "batch_size": BATCH,
            "examples": STEPS * BATCH,
        }
    )


def recorded(of, dtype, choices):
    """A side and the records of its first steps."""
    random = np.random.default_rng(3)
    side = ScratchSide(choices)
    weights = initial_weights(of, INPUTS, dtype)
    side.start(of, weights)
    before = {Key("update", name): array for name, array in (weights | side.initial_state()).items()}
    labels = random.integers(0, OUTPUTS, (STEPS, BATCH))
    y = labels.astype(np.int32) if of.loss.class_name.startswith("Sparse") else np.eye(OUTPUTS, dtype=dtype)[labels]
    said = side.steps(random.standard_normal((STEPS, BATCH, INPUTS)).astype(dtype), y)
    return side, Records(1, keyed(said, "dense_2", STEPS), before)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_steps_at_once_are_steps_one_by_one(variant, dtype):
    side, records = recorded(experiment(**variant), dtype, {})
    _compare(side, records)


@pytest.mark.parametrize("choices", CHOICES, ids=str)
def test_so_with_every_convention(choices):
    _compare(*recorded(experiment(optimizer="adam"), "float64", choices))


@pytest.mark.parametrize("block", [1, 7, 60])
@pytest.mark.parametrize(
    ("variant", "choices"),
    [*((variant, {}) for variant in VARIANTS), *(({"optimizer": "adam"}, choices) for choices in CHOICES)],
    ids=str,
)
def test_a_large_update_by_parts_gives_the_same_bits(variant, choices, block, monkeypatch):
    """Kernels of 15 to 20 numbers, in stacks of five steps."""

    def told():
        side, records = recorded(experiment(**variant), "float32", choices)
        replayed = keyed(side.replay(records), "dense_2", STEPS)
        return [{key: array.copy() for key, array in said.items()} for said in (records.arrays, replayed)]

    whole = told()
    monkeypatch.setattr(optimizers, "BLOCK", block)
    for at_once, by_parts in zip(whole, told(), strict=True):
        assert at_once.keys() == by_parts.keys()
        for key, array in at_once.items():
            np.testing.assert_array_equal(by_parts[key], array, err_msg=str(key))


def _compare(side, records):
    at_once = keyed(side.replay(records), "dense_2", STEPS)
    before = records.states_before()
    for step in range(STEPS):
        alone = Records(
            step + 1,
            {key: array[step : step + 1] for key, array in records.arrays.items()},
            {key: array[step] for key, array in before.items()},
        )
        for key, array in keyed(side.replay(alone), "dense_2", 1).items():
            assert array.dtype == at_once[key].dtype
            np.testing.assert_array_equal(array[0], at_once[key][step], err_msg=str(key))
    assert at_once.keys() <= records.arrays.keys()

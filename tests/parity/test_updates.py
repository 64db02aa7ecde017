"""An update computed again from what was recorded is the update that was recorded."""

from __future__ import annotations

import numpy as np
import pytest

from parity.budget import LocalBudget
from parity.config import validate
from parity.data import load_dataset
from parity.lockstep import draw_weights, lockstep, start_weights
from parity.protocol import Key
from parity.sides import load_side
from parity.updates import recorded_rate, update_of

OPTIMIZERS = [
    {"class_name": "SGD"},
    {"class_name": "SGD", "momentum": 0.9},
    {"class_name": "SGD", "momentum": 0.9, "nesterov": True},
    {"class_name": "Adam"},
    {"class_name": "Adam", "amsgrad": True, "beta_2": 0.5},
    {"class_name": "RMSprop"},
    {"class_name": "RMSprop", "momentum": 0.5},
    {"class_name": "RMSprop", "centered": True},
    {"class_name": "RMSprop", "centered": True, "momentum": 0.5},
]


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda config: "-".join(map(str, config.values())))
def test_it_is_keras_update(optimizer, precision):
    """To the last bit, but for what the budget allows to RMSprop; and another rate or epsilon gives other bits."""
    experiment = validate(
        {
            "data": {"source": "regression", "features": 5, "samples": 12},
            "layers": [{"units": 7, "activation": "tanh"}, {"units": 1}],
            "loss": "mse",
            "optimizer": {**optimizer, "learning_rate": 0.05},
            "batch_size": 4,
            "steps": 3,
        }
    )
    sides = load_side("keras"), load_side("scratch")
    dataset = load_dataset(experiment).astype(precision)
    weights = start_weights(experiment, [draw_weights(sides[0], experiment, 5, precision)], 5, precision)
    (pair,) = lockstep(experiment, *sides, dataset, weights, ("local",))
    records, budget = pair.reference, LocalBudget(experiment, precision)
    for name in weights:
        for row in range(3):
            update = update_of(experiment.optimizer, records, row, name)
            rate, epsilon = recorded_rate(records, row), getattr(experiment.optimizer, "epsilon", 0.0)
            part = update_of(experiment.optimizer, records, row, name, slice(1, 3))(rate, epsilon)
            for tensor, found in update(rate, epsilon).items():
                recorded = records.arrays[Key("update", tensor)][row].reshape(-1)
                assert found.dtype == recorded.dtype
                allowed = budget.of(Key("update", tensor), records, np.array([row]))
                limit = np.broadcast_to(allowed, (1, *weights[name].shape)).reshape(-1)
                assert (np.abs(found - recorded) <= limit).all(), tensor
                assert (update(rate * 2, epsilon)[tensor] != recorded).all()
                if epsilon:
                    assert (update(rate, 1.0)[tensor] != recorded).all()
                np.testing.assert_array_equal(part[tensor], found[1:3])

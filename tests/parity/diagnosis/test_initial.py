"""Initial weights that a candidate draws by itself: the choice is named by the very numbers, alone and with others."""

from __future__ import annotations

import numpy as np
import pytest

from parity.config import validate
from parity.diagnosis.initial import initial_choices
from parity.run import diff
from parity.sides import load_side
from scratch_net.adapter import ScratchSide, initial_weights

TABLE = {
    "data": {"source": "regression", "features": 6, "samples": 12},
    "layers": [
        {"units": 4, "activation": "tanh", "kernel_initializer": "he_normal", "kernel_regularizer": "l2"},
        {"units": 1, "kernel_initializer": "lecun_uniform"},
    ],
    "loss": "mse",
    "optimizer": "sgd",
    "batch_size": 4,
    "steps": 2,
}
EXPERIMENT = validate(TABLE)


@pytest.mark.parametrize(
    "choices", [{}, {"init.fan": "swapped"}, {"init.normal": "plain"}, {"init.fan": "swapped", "init.normal": "plain"}]
)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_smallest_set_that_draws_the_numbers(choices, precision):
    drawn = ScratchSide(choices).initial_weights(EXPERIMENT, 6, precision)
    found = initial_choices(EXPERIMENT, load_side("scratch"), drawn, 6, precision)
    assert found == frozenset(choices.items())


def test_numbers_off_by_one_bit_are_nobody_s():
    drawn = initial_weights(EXPERIMENT, 6, "float64")
    drawn["dense/kernel"][2, 1] = np.nextafter(drawn["dense/kernel"][2, 1], 9)
    assert initial_choices(EXPERIMENT, load_side("scratch"), drawn, 6, "float64") is None


def test_named_first_and_with_what_else_differs():
    result = diff(EXPERIMENT, reference="scratch", candidate="scratch[init.fan=swapped,l2.penalty=half]")
    assert result.first_divergence.step == 0
    assert [str(cause) for cause in result.diagnosis.causes] == ["init.fan=swapped", "l2.penalty=half"]

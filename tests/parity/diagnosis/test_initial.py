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
    "choices",
    [
        {},
        {"init.fan": "swapped"},
        {"init.normal": "plain"},
        {"init.fan": "swapped", "init.normal": "plain"},
        {"init.uniform": "stddev"},
        {"init.initializers": "pytorch"},
        {"init.seed": "shared"},
        {"init.seed": "shared", "init.initializers": "pytorch"},
        {"init.seed": "shared", "init.fan": "swapped"},
    ],
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


class OwnStream(ScratchSide):
    """Half as wide as Keras' and from NumPy's generator."""

    def initial_weights(self, experiment, inputs, precision):
        random, of_keras = np.random.default_rng(5), super().initial_weights(experiment, inputs, precision)
        return {
            name: (array.std() / 2 * random.standard_normal(array.shape)).astype(precision)
            for name, array in of_keras.items()
        }


def test_of_numbers_that_are_nobody_s_it_is_said_how_much_they_spread_and_that_the_steps_agree():
    table = TABLE | {
        "data": TABLE["data"] | {"features": 60},
        "layers": [{"units": 50, "kernel_initializer": "he_normal"}],
    }
    table["layers"] += [{"units": 1}]
    result = diff(validate(table), reference="scratch", candidate=OwnStream())
    assert result.first_divergence.step == 0
    assert result.diagnosis.causes == ()
    said = result.diagnosis.unable
    assert said.startswith("every step the candidate takes is what the reference takes from the same weights")
    assert "another stream of random numbers" in said
    assert said.endswith("The standard deviation of dense/kernel, 3000 numbers, is 0.5 times the reference's")


def test_named_first_and_with_what_else_differs():
    result = diff(EXPERIMENT, reference="scratch", candidate="scratch[init.fan=swapped,l2.penalty=half]")
    assert result.first_divergence.step == 0
    assert [str(cause) for cause in result.diagnosis.causes] == ["init.fan=swapped", "l2.penalty=half"]

"""Initial weights drawn otherwise. The oracle is Keras: its `VarianceScaling`, asked for the very same choice."""

from __future__ import annotations

import numpy as np
import pytest

from parity.config import Experiment
from scratch_net.adapter import ScratchSide
from scratch_net.initializers import INITIALIZERS, NORMAL, UNIFORM

SEED, INPUTS, UNITS = 3, 7, 4
SCALES = {"Glorot": 1.0, "He": 2.0, "Lecun": 1.0}
SWAPPED = {"Glorot": "fan_avg", "He": "fan_out", "Lecun": "fan_out"}
AS_NAMED = {"Glorot": "fan_avg", "He": "fan_in", "Lecun": "fan_in"}


def _drawn(initializer, choices, dtype="float64", units=UNITS):
    """Kernel and bias as a side with these choices draws them."""
    config = {"class_name": initializer, "config": {"seed": SEED} if initializer in NORMAL | UNIFORM else {}}
    layer = {"units": units, "kernel_initializer": config, "bias_initializer": config}
    of = Experiment.model_validate(
        {"data": {"source": "regression", "features": INPUTS}, "layers": [layer], "loss": "mse", "optimizer": "sgd"}
    )
    weights = ScratchSide(choices).initial_weights(of, INPUTS, dtype)
    return weights["dense/kernel"], weights["dense/bias"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("fan", ["as_named", "swapped"])
@pytest.mark.parametrize("normal", ["truncated", "plain"])
@pytest.mark.parametrize("initializer", NORMAL | UNIFORM)
def test_keras_draws_the_same_when_it_is_asked_for_the_choice(initializer, normal, fan, dtype, runtime, keras):
    author = (NORMAL | UNIFORM)[initializer]
    runtime.set_precision(dtype)
    distribution = {"truncated": "truncated_normal", "plain": "untruncated_normal"}[normal]
    scaling = keras.initializers.VarianceScaling(
        scale=SCALES[author],
        mode=(SWAPPED if fan == "swapped" else AS_NAMED)[author],
        distribution=distribution if initializer in NORMAL else "uniform",
        seed=SEED,
    )
    kernel, bias = _drawn(initializer, {"init.normal": normal, "init.fan": fan}, dtype)
    assert kernel.dtype == bias.dtype == dtype
    assert kernel.tobytes() == np.array(scaling((INPUTS, UNITS), dtype=dtype)).tobytes()
    assert bias.tobytes() == np.array(scaling((UNITS,), dtype=dtype)).tobytes()


@pytest.mark.parametrize("initializer", sorted(set(INITIALIZERS) - set(NORMAL) - set(UNIFORM) - {"Constant"}))
def test_other_initializers_know_neither(initializer):
    ours, keras = (_drawn(initializer, choices) for choices in ({"init.normal": "plain", "init.fan": "swapped"}, {}))
    assert all(one.tobytes() == other.tobytes() for one, other in zip(ours, keras, strict=True))


def test_a_square_kernel_has_one_fan():
    for initializer in NORMAL | UNIFORM:
        ours, keras = (_drawn(initializer, choices, units=INPUTS)[0] for choices in ({"init.fan": "swapped"}, {}))
        assert ours.tobytes() == keras.tobytes()

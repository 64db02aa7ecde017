"""Initial weights drawn otherwise. The oracle is Keras: its `VarianceScaling`, asked for the very same choice."""

from __future__ import annotations

import numpy as np
import pytest

from parity.config import Experiment
from scratch_net.adapter import ScratchSide
from scratch_net.initializers import INITIALIZERS, NORMAL, UNIFORM

CHANGED = {"init.normal": "plain", "init.uniform": "stddev", "init.fan": "swapped"}
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
@pytest.mark.parametrize(("normal", "limit"), [("truncated", "sqrt_3"), ("plain", "stddev")])
@pytest.mark.parametrize("initializer", NORMAL | UNIFORM)
def test_keras_draws_the_same_when_it_is_asked_for_the_choice(initializer, normal, limit, fan, dtype, runtime, keras):
    author = (NORMAL | UNIFORM)[initializer]
    runtime.set_precision(dtype)
    distribution = {"truncated": "truncated_normal", "plain": "untruncated_normal"}[normal]
    scaling = keras.initializers.VarianceScaling(
        scale=SCALES[author] / (3 if limit == "stddev" and initializer in UNIFORM else 1),
        mode=(SWAPPED if fan == "swapped" else AS_NAMED)[author],
        distribution=distribution if initializer in NORMAL else "uniform",
        seed=SEED,
    )
    kernel, bias = _drawn(initializer, {"init.normal": normal, "init.uniform": limit, "init.fan": fan}, dtype)
    assert kernel.dtype == bias.dtype == dtype
    assert kernel.tobytes() == np.array(scaling((INPUTS, UNITS), dtype=dtype)).tobytes()
    assert bias.tobytes() == np.array(scaling((UNITS,), dtype=dtype)).tobytes()


@pytest.mark.parametrize("initializer", sorted(set(INITIALIZERS) - set(NORMAL) - set(UNIFORM) - {"Constant"}))
def test_other_initializers_know_none_of_these(initializer):
    ours, keras = (_drawn(initializer, choices) for choices in (CHANGED, {}))
    assert all(one.tobytes() == other.tobytes() for one, other in zip(ours, keras, strict=True))


def _in_layers(layers, choices, seed=1, dtype="float64"):
    """What a side with these choices draws of an experiment."""
    data = {"source": "regression", "features": INPUTS}
    of = Experiment.model_validate({"data": data, "layers": layers, "loss": "mse", "optimizer": "sgd", "seed": seed})
    return ScratchSide(choices).initial_weights(of, INPUTS, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_keras_draws_the_same_when_it_is_told_to_draw_as_pytorch_does(dtype, runtime, keras):
    """Whatever the experiment asks for; the seeds are those that Keras' initializers take, one after the other."""
    runtime.set_precision(dtype)
    layers = [{"units": UNITS, "kernel_initializer": "he_normal"}, {"units": 3, "bias_initializer": "ones"}]
    drawn = _in_layers(layers, {"init.initializers": "pytorch"}, seed=1, dtype=dtype)
    keras.utils.set_random_seed(1)
    for name, inputs, units in (("dense", INPUTS, UNITS), ("dense_1", UNITS, 3)):
        limit = 1 / inputs**0.5  # a Python float, which Keras rounds to float32
        for weight, shape in (("kernel", (inputs, units)), ("bias", (units,))):
            expected = np.array(keras.initializers.RandomUniform(-limit, limit)(shape, dtype=dtype))
            assert drawn[f"{name}/{weight}"].tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_keras_draws_the_same_when_it_is_given_one_seed_for_all(dtype, runtime, keras):
    runtime.set_precision(dtype)
    layers = [{"units": INPUTS, "kernel_initializer": name} for name in ("he_normal", "he_normal", "lecun_uniform")]
    drawn = _in_layers(layers, {"init.seed": "shared"}, seed=1, dtype=dtype)
    keras.utils.set_random_seed(1)
    seed = keras.initializers.HeNormal().seed
    for name, of in (("dense", "HeNormal"), ("dense_1", "HeNormal"), ("dense_2", "LecunUniform")):
        initializer = getattr(keras.initializers, of)(seed=seed)
        expected = np.array(initializer((INPUTS, INPUTS), dtype=dtype))
        assert drawn[f"{name}/kernel"].tobytes() == expected.tobytes()
    assert drawn["dense/kernel"].tobytes() == drawn["dense_1/kernel"].tobytes()


def test_a_seed_of_its_own_is_nobody_else_s():
    layers = [{"units": 3}, {"units": 3, "kernel_initializer": {"class_name": "HeNormal", "config": {"seed": 5}}}]
    keras, shared = (_in_layers(layers, choices) for choices in ({}, {"init.seed": "shared"}))
    assert all(array.tobytes() == shared[name].tobytes() for name, array in keras.items())


def test_a_square_kernel_has_one_fan():
    for initializer in NORMAL | UNIFORM:
        ours, keras = (_drawn(initializer, choices, units=INPUTS)[0] for choices in ({"init.fan": "swapped"}, {}))
        assert ours.tobytes() == keras.tobytes()

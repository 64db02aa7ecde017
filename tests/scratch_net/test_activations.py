"""Every activation against Keras, run for real in float64, and against central differences.

The oracle of values is `keras.activations`, that of gradients `tf.GradientTape` through it.
"""

from __future__ import annotations

import numpy as np
import pytest

from keras_ref.runtime import keras, set_precision, tf
from parity.budget import LocalBudget
from parity.config import Experiment
from parity.protocol import Key, Records
from scratch_net.activations import ACTIVATIONS

SHAPES = {"many outputs": (6, 5), "one output": (30, 1)}


@pytest.fixture(autouse=True)
def _float64():
    set_precision("float64")


def _points(shape, kind):
    random = np.random.default_rng(1)
    z = random.uniform(-5, 5, shape)
    edges = [0.0, -0.0, 800.0, -800.0, 36.0, -36.0, 1e-9, -1e-9, 1e-300, 5.0]
    if kind == "edges":
        z.reshape(-1)[: len(edges)] = edges
    if kind == "ties":
        z[:] = z[:, :1]
    return z


def _of_keras(name, z, da):
    z = tf.constant(z)
    with tf.GradientTape() as tape:
        tape.watch(z)
        a = keras.activations.get(name)(z)
    return a.numpy(), tape.gradient(a, z, tf.constant(da)).numpy()


def _budgets(name, z, a, da, dz):
    """What the budget allows two float64 implementations of this activation to differ by."""
    experiment = Experiment.model_validate(
        {
            "data": {"source": "regression", "features": 2},
            "layers": [{"units": z.shape[1], "activation": name}, {"units": 1}],
            "loss": "mse",
            "optimizer": "SGD",
        }
    )
    arrays = {
        Key("forward", "dense/pre_activation"): z,
        Key("forward", "dense/output"): a,
        Key("gradient", "dense/output"): da,
        Key("gradient", "dense/pre_activation"): dz,
    }
    records = Records(1, {key: array[None] for key, array in arrays.items()}, {})
    budget = LocalBudget(experiment, "float64")
    keys = Key("forward", "dense/output"), Key("gradient", "dense/pre_activation")
    return [np.broadcast_to(budget.of(key, records, np.array([0])), (1, *z.shape))[0] for key in keys]


@pytest.mark.parametrize("kind", ["ordinary", "edges", "ties"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.filterwarnings("ignore:.*softmax over axis")  # of a single output, which Keras warns of
def test_value_and_gradient_are_keras_s(name, shape, kind):
    activation, z = ACTIVATIONS[name](), _points(shape, kind)
    da = np.random.default_rng(2).standard_normal(shape)
    expected, slope = _of_keras(name, z, da)
    allowed, allowed_slope = _budgets(name, z, expected, da, slope)
    a = activation.forward(z)
    assert (np.abs(a - expected) <= allowed).all()
    assert (np.abs(activation.backward(da, z, expected) - slope) <= allowed_slope).all()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gradient_is_the_slope_of_the_value(name):
    """Central differences are off by h**2 and by u / h: with h = 1e-5 both are below 1e-9 here."""
    activation, h = ACTIVATIONS[name](), 1e-5
    random = np.random.default_rng(3)
    z, da = random.uniform(-3, 3, (4, 3)), random.standard_normal((4, 3))
    found = activation.backward(da, z, activation.forward(z))
    for index in np.ndindex(z.shape):
        step = np.zeros_like(z)
        step[index] = h
        slope = (da * (activation.forward(z + step) - activation.forward(z - step))).sum() / (2 * h)
        assert found[index] == pytest.approx(slope, abs=1e-8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_dtype_is_kept_and_the_input_left_alone(name, dtype):
    activation, z = ACTIVATIONS[name](), _points((6, 5), "edges").astype(dtype)
    kept = z.copy()
    a = activation.forward(z)
    dz = activation.backward(np.ones_like(z), z, a)
    assert a.dtype == dz.dtype == dtype
    np.testing.assert_array_equal(z, kept)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_no_input_overflows(name):
    activation = ACTIVATIONS[name]()
    for dtype in ("float32", "float64"):
        largest = np.finfo(dtype).max / 4
        z = np.array([[largest, -largest, 0], [-largest, -largest, -largest], [largest, largest, 1]], dtype)
        a = activation.forward(z)  # warnings are errors
        assert np.isfinite(a).all()
        assert np.isfinite(activation.backward(np.ones_like(z), z, a)).all()


def test_relu_takes_zero_for_its_slope_at_the_kink():
    z = np.array([[0.0, -0.0]])
    np.testing.assert_array_equal(ACTIVATIONS["relu"]().backward(np.ones((1, 2)), z, z), [[0, 0]])
